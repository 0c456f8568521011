package lab_test

import (
	"testing"

	"github.com/vswitch/vswitch/lab"
)

// A test of a program that needs a network: two hosts in one VLAN of a switch, on
// a line that is slow and loses frames.
func ExampleNew() {
	_ = func(t *testing.T) {
		l := lab.New(t).
			Host("client", "ip: 10.0.0.1/24").
			Host("server", "ip: 10.0.0.2/24").
			Switch("sw1").
			Link("client:eth0", "sw1:p1", "access: 10", "impair: {delay: 20ms, loss: 1%}").
			Link("server:eth0", "sw1:p2", "access: 10").
			Up() // goes with the test

		server := l.Command("server", "my-program", "serve")
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		l.Run("client", "my-program", "fetch", "server") // nodes find each other by name
		l.LinkDown("server:eth0")
		if out, err := l.Command("client", "my-program", "fetch", "server").CombinedOutput(); err == nil {
			t.Errorf("without a link, the program finds its server:\n%s", out)
		}
	}
	// Output:
}
