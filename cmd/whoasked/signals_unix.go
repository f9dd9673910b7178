//go:build unix

package main

import (
	"os"
	"syscall"
)

// summarySignals ask for the counts so far.
var summarySignals = []os.Signal{syscall.SIGUSR1}

// reloadSignals ask for the settings to be read again.
var reloadSignals = []os.Signal{syscall.SIGHUP}
