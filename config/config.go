// Package config makes one typed Config out of a file, the environment and
// flags; the later ones win. It is the only package that imports viper.
//
// Everything follows from one table, in settings.go: a row gives the key in the
// file, from which the flag and the environment variable are derived, the
// default, the help text and how a value is read.
package config

import (
	"net/netip"
	"time"

	"whoasked/attribute"
)

// Config holds the effective settings.
type Config struct {
	Format string // "text", "json" or "log"
	Output string // file name; empty or "-" is standard output
	Only   string // "asked", "unknown" or "all"

	SNI            []string // globs as in path.Match, lower case
	Client, Server []attribute.Range

	Confirm  bool // by connections of our own
	ExitCode bool
	Quiet    bool
	NoColor  bool
	Rows     int // of the table of connections in text; 0 shows none

	Limits Limits
	Decode Decode
	Log    Log
	Watch  Watch
	Hops   attribute.Hops
	Relay  Relay

	Service Service

	Keylog []string // files in the NSS key log format
}

// Limits bounds what following TCP streams may cost.
type Limits struct {
	Flows      int           // connections followed at one time
	FlowBytes  Bytes         // held back behind a gap, in one direction of one connection
	TotalBytes Bytes         // held back behind gaps, in all connections
	Idle       time.Duration // silence, in capture time, that ends a connection
}

// Decode says what to look for in packets.
type Decode struct {
	VXLANPorts []uint16 // UDP, beside those that are known
}

// Watch says what the command of that name captures, and what it keeps.
type Watch struct {
	Interfaces  []string
	Promiscuous bool
	Ring        Bytes // shared with the kernel, for each interface
	SnapLength  Bytes

	// What to capture: all, if neither Hosts nor Nets nor Ports are given.
	Hosts, Nets []netip.Prefix
	Ports       []uint16
	Not         []attribute.Range
	PlainFilter bool // no eBPF

	Collapse time.Duration // of the same answer in a log

	Evidence     string        // folder, empty for none
	EvidenceSize Bytes         // of all files in it
	EvidenceAge  time.Duration // 0 for any
}

// Service says what commands do that are left running.
type Service struct {
	Metrics string // ADDRESS:PORT, empty for none

	RotateSize Bytes         // of the output file
	RotateAge  time.Duration // 0 for none
	RotateKeep int           // old files

	User           string // to become when running as root
	KeepPrivileges bool   // whatever they are
}

// Bytes is a size in memory.
type Bytes int

// Log says how much is logged.
type Log struct {
	Level string // "debug", "info", "warn" or "error"
}

// Setting describes one row of the table, and after Load its effective value.
type Setting struct {
	Key  string // in the file: "limits.idle"
	Flag string // without dashes: "limits-idle"
	Env  string // "WHOASKED_LIMITS_IDLE"
	Help string
	// Choices lists the allowed words where only some are allowed.
	Choices []string

	Value  any    // typed as in Config
	Origin string // "default", "file NAME", "env NAME" or "flag --NAME"
}

// Loaded is the outcome of Load.
type Loaded struct {
	Config
	Settings []Setting // in the order of the table
	File     string    // the file that was read, empty for none
	Warnings []string  // what looks like a mistake but does no harm
}

// Given reports whether a setting has a value of its own, not the default.
func (l *Loaded) Given(key string) bool { return l.From(key) != "default" }

// From is the origin of a setting's value, as [Setting] has it.
func (l *Loaded) From(key string) string {
	for _, s := range l.Settings {
		if s.Key == key {
			return s.Origin
		}
	}
	return "default"
}

// Problem is a mistake in the settings and what to do about it. It never shows
// a value without where it came from.
type Problem struct {
	Text string
	hint string
}

func (p *Problem) Error() string { return p.Text }

// Hint returns what to do, empty if nothing can be said.
func (p *Problem) Hint() string { return p.hint }
