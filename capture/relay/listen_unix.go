//go:build unix

package relay

import (
	"errors"
	"syscall"
)

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
