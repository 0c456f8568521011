package vswitch

import (
	"testing"

	"github.com/vswitch/vswitch/port"
)

// TestTurns has many sources flood to many ports, all at once and for good, beside one
// that sends to a single port: once it is known, that one has a turn in each round;
// a round stays short, and none of the many has two turns more than another.
func TestTurns(t *testing.T) {
	const floods, copies, rounds = 400, 400, 5000
	w := new(worker)
	all := make([]source, floods+1)
	turns := make([]int, len(all))
	for i := range all {
		all[i] = source{most: port.BatchFrames, each: dearWork + 1, lap: w.lap - 1}
	}
	single := floods / 2
	for round := range rounds {
		for i := range all {
			if !w.due(&all[i]) {
				if i == single && (turns[i] > 0 || round > floods) {
					t.Fatalf("round %d: who sends to a single port has no turn", round)
				}
				continue
			}
			turns[i]++
			work := port.BatchFrames
			frames := all[i].room(false)
			if i != single {
				frames = min(frames, 1+turns[i]) // the first ones come alone
				work = frames * copies
			}
			all[i].settle(frames, 64*frames, work)
			w.round += work
		}
		if w.round > dearRound+2*copies+port.BatchFrames {
			t.Fatalf("round %d: %d copies", round, w.round)
		}
		w.endRound()
	}
	fewest, most := rounds, 0
	for i, n := range turns {
		if i != single {
			fewest, most = min(fewest, n), max(most, n)
		}
	}
	if fewest == 0 || most > fewest+1 {
		t.Errorf("of %d that flood, one had %d turns and one %d", floods, fewest, most)
	}
}
