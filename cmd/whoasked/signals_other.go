//go:build !unix

package main

import "os"

// summarySignals: this system has none to ask with.
var summarySignals []os.Signal

// reloadSignals: likewise.
var reloadSignals []os.Signal
