//go:build !linux

package relay

import "testing"

func exhaust(t *testing.T, _ string) (connect, free func()) {
	t.Helper()
	t.Skip("descriptors are used up on Linux only")
	return func() {}, func() {}
}
