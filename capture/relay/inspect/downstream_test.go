package inspect

import "testing"

func TestClearAlert(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want uint8
	}{
		{"unknown_ca", []byte{21, 3, 3, 0, 2, 2, 48}, 48},
		{"behind a ChangeCipherSpec", []byte{20, 3, 3, 0, 1, 1, 21, 3, 3, 0, 2, 2, 48}, 48},
		{"a warning", []byte{21, 3, 3, 0, 2, 1, 0}, 0},
		{"sealed", append([]byte{23, 3, 3, 0, 19}, make([]byte, 19)...), 0},
		{"cut", []byte{21, 3, 3, 0, 2, 2}, 0},
		{"nothing", nil, 0},
	} {
		if got := ClearAlert(c.b); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
