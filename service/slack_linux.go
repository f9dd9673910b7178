package service

import (
	"os"
	"strconv"
	"time"
)

// LateTimers lets the kernel be late by so much with the timers of all threads of
// the process, and of those to come. The thread by which the Go runtime watches over
// the others then sleeps longer at a time, which where packets come is a tenth of
// the CPU time. It takes CAP_SYS_NICE, and without that does nothing; systemd can
// do the same (TimerSlackNSec=).
func LateTimers(by time.Duration) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		// proc(5) lists processes only, but has an entry for each thread all the same.
		if err := os.WriteFile("/proc/"+t.Name()+"/timerslack_ns", strconv.AppendInt(nil, int64(by), 10), 0); err != nil {
			return
		}
	}
}
