// Package fdb is a switch's forwarding database: which station was last seen
// behind which port, by VLAN (IEEE 802.1Q, 8.8). A [Table] learns, looks up,
// ages, limits and flushes. It starts no goroutine and reads no clock: the time
// is an argument. It does not know what a port is, nor which VLANs one carries.
//
// # Complications
//
// A map would do, were it not for these.
//
// First, every frame looks up one station and renews another, on several
// workers at once, while stations come and go. So looking up and renewing take
// no lock. The store is a hash table in which an entry never changes its slot:
// who holds a slot may be asked at any time, and the answer is that of a
// moment. See store.go for why a reader is never wrong.
//
// Second, the table is full when somebody wants it to be. A newcomer then takes
// the place of the oldest dynamic entry of the port that has most of them, so
// that one port that invents addresses evicts its own. Both are found without a
// search: ports are kept on lists by their number of entries (crowd.go), each
// port's entries on a list and in a heap by age (age.go).
//
// Third, a renewal is a single compare-and-swap on the entry and tells list and
// heap nothing; otherwise each frame would need the lock. They learn of it when
// the entry is about to be evicted or aged out: then it is sorted in again by
// the time that it was really seen, and the next one is looked at. What is
// evicted at last is therefore exactly the oldest, at the price of one sorting
// in per renewal at most.
//
// Fourth, "seen" has a resolution of one millisecond, and a worker takes the
// time once for a whole batch of frames. One more bit says whether an entry was
// seen again after it was learned in that millisecond, and newcomers of one
// millisecond are kept in their order.
//
// Fifth, the hash is seeded at random for each process, so that addresses cannot
// be chosen to collide.
//
// # Who may call what at once
//
// Every method may be called at any time from any goroutine.
//
// [Table.Prefetch], [Table.Lookup] and [Table.Learn] are for the frame path.
// They allocate nothing and wait for nobody. Lookup, and Learn where it merely renews or
// refuses, take no lock at all. Learn of something new tries for the table's
// lock for a few microseconds and gives up with [Busy]: the frame is forwarded
// as usual and the station's next one teaches. That happens while
// [Table.SetSize] or a growing number of static entries rebuilds the store (some
// milliseconds for 16384 entries, BenchmarkRebuild), when the system has
// suspended the lock's holder, and when more than 16384 entries of the fullest
// port were renewed since somebody last asked for its oldest: the work done is
// kept, so that the next attempts get through.
//
// All others are for control. They hold the table's lock for one entry at a
// time (but for the rebuild). Those that change entries wait for each other, and
// must not be called from a function that was given to one of them. [Table.Range], [Table.Entries] and
// [Table.PortCount] take no lock.
//
// # Memory
//
// A table takes its memory when it is made and keeps it, whatever is learned:
// two slots with their nodes in the order of age, and a list of ports, for each
// entry of Size, 98 octets together. With [DefaultSize] and [DefaultEvents] that
// is 1.7 MB. There is room for static and filter entries beside that, for 64 or
// a sixteenth of Size; more of them make the table grow, since they are people's
// words and not a stranger's. The first SetPort or Learn for one of 64
// neighbouring port numbers takes 4 KB more.
package fdb
