//go:build unix

package main

import (
	"os"
	"runtime"
	"syscall"
)

// peakRSS returns the highest resident memory of an ended process in bytes.
func peakRSS(s *os.ProcessState) int64 {
	u, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) * 1024
}
