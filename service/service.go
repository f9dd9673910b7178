// Package service is what makes a command one that may be left running: it gives
// up privileges that are needed no more, and tells systemd how it fares.
package service

import (
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Options says what to keep when privileges are given up.
type Options struct {
	// User is the name or number of the user to become when running as root.
	User string
	// Writes are the folders that files are made in, Reads files and folders
	// that are read. Nothing else can be opened afterwards. Those that are missing
	// are left out.
	Writes, Reads []string
	// Names are looked up as the system is set up to, by the files in /etc.
	Names bool
	// ForeignSources are addresses of others that connections will be made from,
	// which takes a capability.
	ForeignSources bool
}

// Outcome tells what was given up, what is needed on and for what, and what could
// not be given up, and why.
type Outcome struct {
	Dropped, Needed, Kept []string
}

func (o *Outcome) dropped(what string) { o.Dropped = append(o.Dropped, what) }

func (o *Outcome) kept(what string, err error) {
	if err != nil {
		what += ": " + err.Error()
	}
	o.Kept = append(o.Kept, what)
}

func (o *Outcome) String() string {
	if len(o.Dropped) == 0 {
		return "gave up no privileges"
	}
	text := "gave up privileges: " + strings.Join(o.Dropped, ", ")
	if len(o.Needed) > 0 {
		text += "; kept " + strings.Join(o.Needed, ", ")
	}
	return text
}

// Ready tells systemd that the command does its work. Without systemd this and
// the others do nothing.
func Ready() { notify(daemon.SdNotifyReady) }

// Reloading tells systemd that settings are read again, until [Ready].
func Reloading() { notify(daemon.SdNotifyReloading) }

// Stopping tells systemd that the end has begun.
func Stopping() { notify(daemon.SdNotifyStopping) }

// notify fails only where systemd is gone, which there is nobody to tell.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// Watchdog tells systemd that the command is alive, when that is due.
type Watchdog struct {
	every time.Duration // 0 for nobody who waits for it
	last  time.Time
}

// NewWatchdog asks systemd's environment how often it wants to hear.
func NewWatchdog() *Watchdog {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return &Watchdog{}
	}
	return &Watchdog{every: limit / 3}
}

// Alive is called at least as often as the command's clock ticks.
func (w *Watchdog) Alive() {
	if w.every > 0 && time.Since(w.last) >= w.every {
		w.last = time.Now()
		notify(daemon.SdNotifyWatchdog)
	}
}
