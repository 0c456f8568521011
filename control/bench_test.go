package control_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
)

// One client changes a port's settings over one connection.
func BenchmarkSetPort(b *testing.B) {
	d := start(b, nil)
	furnish(b, d)
	c := client.New(client.Config{Socket: d.Socket})
	defer c.Close()
	for i := 0; b.Loop(); i++ {
		isolated := i%2 == 0
		if _, err := c.SetPort(context.Background(), "sw0", "p1", api.PortChange{Options: &api.OptionsSpec{Isolated: &isolated}}); err != nil {
			b.Fatal(err)
		}
	}
}

// The list of 1,100 ports, from the request to the last object decoded.
func BenchmarkListPorts(b *testing.B) {
	d := start(b, nil)
	c := client.New(client.Config{Socket: d.Socket})
	defer c.Close()
	for i := range 1100 {
		if _, err := c.AddPort(context.Background(), api.PortSpec{Name: fmt.Sprintf("p%d", i), Kind: api.KindTap}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if ports, err := c.Ports(context.Background(), ""); err != nil || len(ports) != 1100 {
			b.Fatal(len(ports), err)
		}
	}
}
