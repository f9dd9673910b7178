//go:build linux

package lab

import "testing"

// TestPlan holds the rotation of ciphers to its promise: what the full plan
// has with every cipher, the short one has with exactly one.
func TestPlan(t *testing.T) {
	type cell struct {
		client string
		e      Endpoint
		cert   bool
		resume bool
	}
	count := func(p *Plan) map[cell]int {
		cells := map[cell]int{}
		names, ports := map[string]bool{}, map[int]Endpoint{}
		for client, jobs := range p.Jobs {
			for _, j := range jobs {
				if names[j.SNI] {
					t.Errorf("%s is used twice", j.SNI)
				}
				names[j.SNI] = true
				if e, ok := ports[j.Endpoint.Port]; ok && e != j.Endpoint {
					t.Errorf("port %d has two endpoints", e.Port)
				}
				ports[j.Endpoint.Port] = j.Endpoint
				c := cell{client, j.Endpoint, j.Cert != "", j.Resume}
				c.e.Port, c.e.Cipher = 0, AnyCipher
				cells[c]++
			}
		}
		if len(ports) != len(p.Endpoints) {
			t.Errorf("%d endpoints, %d of them used", len(p.Endpoints), len(ports))
		}
		return cells
	}
	full, short := count(NewPlan(true)), count(NewPlan(false))
	if len(full) == 0 {
		t.Fatal("an empty plan")
	}
	for c, n := range full {
		if n != 3 && n != 1 || short[c] != 1 {
			t.Errorf("%+v: %d with every cipher, %d in turn", c, n, short[c])
		}
	}
	if len(short) != len(full) {
		t.Errorf("%d cells in turn, %d in full", len(short), len(full))
	}
}
