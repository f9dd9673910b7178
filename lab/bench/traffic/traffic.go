// Package traffic makes packet captures for the benchmark: real TLS handshakes
// of crypto/tls, recorded once and replayed many thousand times with their own
// addresses, ports, sequence numbers, times and client randoms, interleaved
// with bulk transfers, plain TCP and UDP as a mirror port would show them.
//
// The answer to every connection is known by construction: each [Scenario] has
// a /24 of server addresses for itself, and [Truth] says what is right there.
//
// The same [Profile] gives the same packets in the same order, with the same
// lengths and times. Only what the handshakes draw at random (keys,
// signatures, sealed bytes) differs from one recording to the next.
package traffic

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"
)

// Profile says what a capture consists of. It is comparable.
type Profile struct {
	Name string
	Seed uint64
	// Duration is the time over which connections begin.
	Duration time.Duration
	// Short counts TLS connections that end after one request and response.
	Short int
	// Bulk counts TLS connections that go on with BulkRecords records of 16 KiB
	// on average.
	Bulk, BulkRecords int
	// Version is the one of the bulk connections; 0 for any.
	Version uint16
	// Plain counts TCP connections without TLS, of about PlainBytes each.
	Plain, PlainBytes int
	// Datagrams counts UDP packets.
	Datagrams int
	// VNI wraps all of it into a VXLAN of that number; 0 for none.
	VNI uint32
}

// HandshakeProfile is what a busy mirror port in front of TLS servers shows:
// short connections only. At scale 1 it has 72,000 of them; the capture's
// length in time grows with scale, its density does not.
func HandshakeProfile(scale float64) Profile {
	return Profile{
		Name:     "handshakes",
		Seed:     1,
		Duration: stretch(300*time.Second, scale),
		Short:    times(72_000, scale),
	}
}

// BulkProfile is mostly application data. At scale 1 it has more than 1 GB and
// 1.5 million packets.
func BulkProfile(scale float64) Profile {
	return Profile{
		Name:        "bulk",
		Seed:        2,
		Duration:    stretch(100*time.Second, scale),
		Short:       times(24_000, scale),
		Bulk:        times(400, scale),
		BulkRecords: 128,
		Plain:       times(200, scale),
		PlainBytes:  1 << 20,
		Datagrams:   times(100_000, scale),
	}
}

// WrappedProfile is BulkProfile as a virtual network's TAP mirrors it.
func WrappedProfile(scale float64) Profile {
	p := BulkProfile(scale)
	p.Name, p.VNI = "bulk-vxlan", 800
	return p
}

// TransferProfile is what passes a gateway where most of it is downloads: 1 MB for
// each TLS connection, on average.
func TransferProfile(scale float64) Profile {
	return Profile{
		Name: "transfers", Seed: 4, Duration: stretch(100*time.Second, scale),
		Short: times(600, scale), Bulk: times(600, scale), BulkRecords: 128,
	}
}

// FloodProfile is bulk data on ten TLS connections and nothing else, 1 GB at
// scale 1.
func FloodProfile(scale float64) Profile {
	return Profile{
		Name: "flood", Seed: 3, Duration: time.Second,
		Bulk: 10, BulkRecords: times(6400, scale), Version: tls.VersionTLS13,
	}
}

// FloodProfile12 is the same with TLS 1.2, where a request may always follow.
func FloodProfile12(scale float64) Profile {
	p := FloodProfile(scale)
	p.Name, p.Version = "flood-tls12", tls.VersionTLS12
	return p
}

func times(n int, scale float64) int { return max(1, int(float64(n)*scale)) }

func stretch(d time.Duration, scale float64) time.Duration {
	return time.Duration(float64(d) * scale)
}

// Generator numbers the ways that captures have been made; it changes when the
// same profile gives other packets than before.
const Generator = 1

// Truth is what a capture holds and what is right to say about it.
type Truth struct {
	Profile   Profile
	Generator int
	Packets   int64
	Bytes     int64 // of the file
	// TLS counts the TLS connections, Other the TCP connections without TLS.
	TLS, Other int
	// Peak is the highest number of TCP connections open at once.
	Peak int
	// Scenarios lists the kinds of TLS connections.
	Scenarios []Expected
}

// Expected is the right answer for every connection to the servers in Net.
type Expected struct {
	Name        string
	Net         netip.Prefix
	Version     string // as in the product's answers: "TLS 1.3"
	Asked       bool
	Resumed     bool
	Connections int
}

// Find returns the index of the scenario that a server belongs to, -1 for none.
func (t *Truth) Find(server netip.Addr) int {
	for i := range t.Scenarios {
		if t.Scenarios[i].Net.Contains(server) {
			return i
		}
	}
	return -1
}

// Counts sums up the connections of all scenarios.
func (t *Truth) Counts() (asked, notAsked, resumed int) {
	for _, s := range t.Scenarios {
		if s.Asked {
			asked += s.Connections
		} else {
			notAsked += s.Connections
		}
		if s.Resumed {
			resumed += s.Connections
		}
	}
	return asked, notAsked, resumed
}

// String is one line for a person.
func (t *Truth) String() string {
	asked, not, resumed := t.Counts()
	return fmt.Sprintf("%s: %.0f MB, %d packets, %d TLS connections (%d asked, %d not, %d of these resumed), %d other TCP, up to %d open at once",
		t.Profile.Name, float64(t.Bytes)/1e6, t.Packets, t.TLS, asked, not, resumed, t.Other, t.Peak)
}
