//go:build !linux

package service

import "time"

// Drop gives up what is not needed any more. This system offers nothing for it.
func Drop(Options) Outcome {
	return Outcome{}
}

// Own does nothing.
func Own(_, _ string) error { return nil }

// OwnFile does nothing.
func OwnFile(_, _ string) {}

// LateTimers does nothing.
func LateTimers(time.Duration) {}
