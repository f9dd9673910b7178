package attribute

// blockLen is how many values a block holds.
const blockLen = 256

// blocks is a list that grows without copying what it holds: a list of many small
// values would need thrice their memory for a moment. The zero value is empty.
type blocks[T any] struct {
	full []*[blockLen]T // but for the last one
	n    int
}

// add puts a value at the end.
func (b *blocks[T]) add(v T) {
	if b.n%blockLen == 0 {
		b.full = append(b.full, new([blockLen]T))
	}
	b.n++
	*b.at(b.n - 1) = v
}

// at is the i-th value, from 0.
func (b *blocks[T]) at(i int) *T { return &b.full[i/blockLen][i%blockLen] }
