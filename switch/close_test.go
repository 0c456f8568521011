package vswitch

import (
	"context"
	"testing"
	"time"

	"github.com/vswitch/vswitch/port"
)

// TestCloseWhileSomethingHappens closes engines while the supervisor has news
// of a device in hand, and waits for its turn to change something.
func TestCloseWhileSomethingHappens(t *testing.T) {
	for range 20 {
		host := newMemory()
		e, err := NewEngine(Config{Host: host})
		if err != nil {
			t.Fatal(err)
		}
		e.change.Lock()
		host.events <- port.Event{All: true} // taken: now the supervisor wants to change something
		begun, closed := make(chan struct{}), make(chan error, 2)
		for range 2 { // a second Close waits as well
			go func() {
				begun <- struct{}{}
				closed <- e.Close(context.Background())
			}()
			<-begun
		}
		e.change.Unlock()
		for range 2 {
			select {
			case err := <-closed:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the engine does not close")
			}
		}
	}
}
