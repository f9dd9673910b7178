package capture

import "fmt"

// Notes returns what the Decoder has to tell about the capture so far. What did
// not occur is left out.
func (d *Decoder) Notes() []Note {
	s := d.Stats()
	fs := &s.Fragments
	notes := occurred([]Note{
		{
			Kind: "truncated-packets", Count: s.Cut,
			Text: fmt.Sprintf("%d of %d packets were captured only in part", s.Cut, s.Packets),
			Hint: snapHint(s.Longest),
		},
		{
			Kind: "fragments", Count: fs.Incomplete,
			Text: fmt.Sprintf("%s in fragments of which some are missing, so that the rest was of no use; others put together: %d", Plural(fs.Incomplete, "IP packet came", "IP packets came"), fs.Reassembled),
			Hint: "capture without a filter on ports, which the later fragments do not have, or where packets are whole",
		},
		{
			Kind: "overlapping-fragments", Count: fs.Overlaps,
			Text: fmt.Sprintf("%s, with differences in %s; the first copy was used", Plural(fs.Overlaps, "fragment of an IP packet overlaps others", "fragments of IP packets overlap others"), Plural(fs.Conflict, "byte", "bytes")),
			Hint: "no ordinary sender does that: somebody may be hiding something from filters on the way",
		},
		{
			Kind: "bad-packets", Count: s.Outcomes[Bad],
			Text: Plural(s.Outcomes[Bad], "packet has", "packets have") + " headers that contradict themselves",
		},
		{
			Kind: "unknown-link-type", Count: s.Outcomes[UnknownLink],
			Text: fmt.Sprintf("%s of a link type that is not read, such as %d", Plural(s.Outcomes[UnknownLink], "packet is", "packets are"), s.UnknownLink),
			Hint: "capture at an Ethernet or IP interface, or with tcpdump -i any",
		},
		{
			Kind: "many-encapsulations", Count: s.ViaOverflow,
			Text: Plural(s.ViaOverflow, "packet", "packets") + " came by encapsulations too many to tell apart",
		},
		{
			Kind: "segmentation-offload", Count: s.Oversize,
			Text: fmt.Sprintf("%s longer than any frame, up to %d bytes: captured before the network card cut it up, or after it had put it together", Plural(s.Oversize, "packet is", "packets are"), s.LongestTCP),
			Hint: "it does no harm; to see packets as they are on the wire, capture at a mirror port or switch the offloads off (ethtool -K DEVICE tso off gso off gro off)",
		},
		{
			Kind: "checksum-offload", Count: s.Unsummed,
			Text: fmt.Sprintf("%d of %d TCP checksums looked at are unfinished: the machine that captured leaves them to its network card", s.Unsummed, s.Summed),
			Hint: "it does no harm; the capture was made at one of the ends",
		},
		{
			Kind: "wrong-checksums", Count: many(s.WrongSums, s.Summed),
			Text: fmt.Sprintf("%d of %d TCP checksums looked at are wrong; the segments were used all the same", s.WrongSums, s.Summed),
			Hint: "addresses rewritten in the file, a network card that computes them later, or damage on the way",
		},
	})
	return append(notes, d.tunnelNotes(&s)...)
}

// tunnelNotes names the tunnels that could not be looked into.
func (d *Decoder) tunnelNotes(s *DecodeStats) []Note {
	var notes []Note
	for kind, n := range s.Opaque {
		notes = append(notes, Note{
			Kind: "opaque-tunnel", Count: n,
			Text: fmt.Sprintf("%s %v, which cannot be looked into", Plural(n, "packet is", "packets are"), opaqueKind(kind)),
			Hint: "capture at an end of the tunnel, on the interface that shows what is inside",
		})
	}
	for _, u := range d.unknownTunnels() {
		notes = append(notes, Note{
			Kind: "unknown-tunnel", Count: u.inner,
			Text: fmt.Sprintf("of %d packets looked at to UDP port %d, %d hold an IP packet %d bytes in: a tunnel of a kind that is not known", u.looked, u.port, u.inner, u.offset),
			Hint: fmt.Sprintf("if it is VXLAN, say --decode-vxlan-ports %d; else capture at an end of the tunnel", u.port),
		})
	}
	return occurred(notes)
}

// many is n where that is a notable share of all, else 0.
func many(n, all int64) int64 {
	if n*manyWrong < all {
		return 0
	}
	return n
}

// occurred leaves out what did not.
func occurred(notes []Note) []Note {
	kept := notes[:0]
	for _, n := range notes {
		if n.Count > 0 {
			kept = append(kept, n)
		}
	}
	return kept
}

// maxSnap is the largest snap length, in bytes, that tcpdump and Wireshark take.
const maxSnap = 256 << 10

// snapHint says how to capture whole packets, the longest of which had that
// many bytes.
func snapHint(longest int) string {
	const whole = "capture whole packets, with tcpdump -s 0"
	if longest > maxSnap {
		return whole // no snap length is that long: the file lies
	}
	return fmt.Sprintf("%s or a snap length of at least %d bytes", whole, longest)
}
