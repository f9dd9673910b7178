package relay

import "testing"

// TestPipes: pipes are used again, and only so many are large however many there
// have been.
func TestPipes(t *testing.T) {
	var p pipes
	for round := range 3 {
		var taken []*pipe
		for range maxPipes + maxLarge {
			one := p.get()
			if one == nil {
				t.Skip("no descriptors left")
			}
			taken = append(taken, one)
		}
		if p.large > maxLarge {
			t.Fatalf("%d large pipes", p.large)
		}
		large := p.large
		for i, one := range taken {
			if i%5 == 0 { // as after a failed write
				p.destroy(one)
				continue
			}
			p.put(one)
		}
		if len(p.free) > maxPipes || p.large > large {
			t.Fatalf("round %d: %d pipes are kept, %d large", round, len(p.free), p.large)
		}
	}
	p.close()
	if len(p.free) != 0 || p.large != 0 {
		t.Errorf("%d pipes, %d large are left", len(p.free), p.large)
	}
	one := p.get()
	p.put(one) // of a connection that ends late
	if len(p.free) != 0 {
		t.Error("a pipe is kept after the end")
	}
}
