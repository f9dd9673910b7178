package capture

import "fmt"

// TrackerStats counts what a [Tracker] met.
type TrackerStats struct {
	Segments      int64 // all that were given
	Connections   int64 // that carried payload
	Midstream     int64 // of these, without a SYN
	OneSided      int64 // of these, ended with only one direction captured
	Reused        int64 // of these, ended by another one between the same ports
	Evicted       int64 // given up to stay within Limits.Flows
	HalfOpen      int64 // flows that had carried nothing, given up for the same reason
	Datagrams     int64 // all that were given
	Sessions      int64 // connections made of datagrams
	Unfollowed    int64 // datagrams of QUIC's port that belong to no connection with a recognisable beginning
	Gaps          int64 // runs of bytes given up
	LostBytes     int64 // in them
	LimitGaps     int64 // times that buffers had to be freed before their time
	CutBytes      int64 // payload cut by the snap length
	ConflictBytes int64 // that arrived again with different content
	OutOfOrder    int64 // segments that arrived before their turn
	Retransmitted int64 // segments that brought nothing new, a while later
	Duplicates    int64 // segments that brought nothing new, at once
	Strays        int64 // segments whose numbers fit nothing, ignored
}

// Stats returns the counts so far. Conflicts count once the chunk that tells
// them was handed over or is about to be.
func (t *Tracker) Stats() TrackerStats { return t.stats }

// Notes returns what a person should know about the capture, most of it complete
// only after [Tracker.Flush]. What did not occur is left out.
func (t *Tracker) Notes() []Note {
	s := &t.stats
	all := []Note{
		{
			Kind: "evicted-flows", Count: s.Evicted,
			Text: fmt.Sprintf("%s given up while open, because more than %d were open at once", Plural(s.Evicted, "connection was", "connections were"), t.limits.Flows),
			Hint: "raise limits.flows, or capture with a narrower filter",
		},
		{
			Kind: "evicted-half-open", Count: s.HalfOpen,
			Text: fmt.Sprintf("%s given up before carrying anything, because more than %d were followed at once", Plural(s.HalfOpen, "connection was", "connections were"), t.limits.Flows),
			Hint: "a flood of SYNs or a port scan: connections that carry something are kept rather than these",
		},
		{
			Kind: "full-buffers", Count: s.LimitGaps,
			Text: fmt.Sprintf("%s the bytes behind a gap had to be handed over early, because they filled %d KiB for one direction or %d KiB in all",
				Plural(s.LimitGaps, "time", "times"), t.limits.FlowBytes>>10, t.limits.TotalBytes>>10),
			Hint: "raise limits.flow-bytes and limits.total-bytes",
		},
		{
			Kind: "lost-segments", Count: s.Gaps,
			Text: fmt.Sprintf("%s bytes are missing from a connection, %s in all", Plural(s.Gaps, "time", "times"), Plural(s.LostBytes, "byte", "bytes")),
			Hint: "the capture dropped packets: enlarge its buffer, narrow its filter, or capture closer to one of the ends",
		},
		{
			Kind: "one-sided", Count: s.OneSided,
			Text: Plural(s.OneSided, "connection shows only one of its directions", "connections show only one of their directions"),
			Hint: "capture where both directions pass: check the mirror port, and routes that differ by direction",
		},
		{
			Kind: "conflicting-overlaps", Count: s.ConflictBytes,
			Text: Plural(s.ConflictBytes, "byte", "bytes") + " arrived again with different content; the first copy was used",
			Hint: "a middlebox rewrites segments, or someone injects them",
		},
		{
			Kind: "duplicates", Count: s.Duplicates,
			Text: Plural(s.Duplicates, "segment came again as it was, and was", "segments came again as they were, and each was") + " used once",
			Hint: "the mirror port copies both directions of a port, two interfaces on the way were captured, or the sender repeated it; it does no harm",
		},
		{
			Kind: "stray-segments", Count: s.Strays,
			Text: Plural(s.Strays, "segment with sequence numbers far outside of its connection was ignored", "segments with sequence numbers far outside of their connections were ignored"),
		},
		{
			Kind: "quic", Count: s.Unfollowed,
			Text: Plural(s.Unfollowed, "datagram from or to UDP port 443 belongs", "datagrams from or to UDP port 443 belong") + " to no QUIC or DTLS connection whose beginning was captured",
			Hint: "begin capturing before the connection is opened; or switch QUIC off in the browser, so that it uses TCP, and capture again",
		},
	}
	notes := all[:0]
	for _, n := range all {
		if n.Count > 0 {
			notes = append(notes, n)
		}
	}
	return notes
}
