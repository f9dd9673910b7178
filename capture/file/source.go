package file

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"whoasked/capture"
	"whoasked/parse"
)

// Source yields the chunks of the connections in one capture file.
type Source struct {
	reader  *Reader
	decoder *capture.Decoder
	limits  capture.Limits
	tracker *capture.Tracker // from the call of Chunks on
	tap     func(*Packet, *capture.Segment)

	backwards int64 // packets older than the one before

	// mu guards, where Chunks is shared, all of this but what waits for packets;
	// packets are the reader's counts then.
	mu      sync.Mutex
	shared  bool
	packets Stats
}

var _ capture.Source = (*Source)(nil)

// NewSource returns a Source that reads r, and closes it at the end.
func NewSource(r *Reader, limits capture.Limits) *Source {
	return &Source{reader: r, decoder: capture.NewDecoder(), limits: limits}
}

// VXLANPorts is [capture.Decoder.VXLANPorts]. It must come before Chunks.
func (s *Source) VXLANPorts(ports []uint16) { s.decoder.VXLANPorts(ports) }

// Tap has called see every packet with a segment or datagram, before its chunks
// come. It must come before Chunks.
func (s *Source) Tap(see func(*Packet, *capture.Segment)) { s.tap = see }

// Share lets other goroutines call Notes and Decoded while Chunks runs. It must
// come before Chunks.
func (s *Source) Share() { s.shared = true }

func (s *Source) lock() {
	if s.shared {
		s.mu.Lock()
	}
}

func (s *Source) unlock() {
	if s.shared {
		s.mu.Unlock()
	}
}

// ViaName is [capture.Decoder.ViaName].
func (s *Source) ViaName(via uint32) string { return s.decoder.ViaName(via) }

// Progress is [Reader.Progress].
func (s *Source) Progress() (read, size int64) { return s.reader.Progress() }

// Chunks implements [capture.Source]. It can be called once. An error is an
// *[Error] or ctx's, comes at most once, and only the last chunks of the
// connections still open follow it.
func (s *Source) Chunks(ctx context.Context) iter.Seq2[*parse.Chunk, error] {
	return func(yield func(*parse.Chunk, error) bool) {
		defer s.reader.Close()
		defer context.AfterFunc(ctx, s.reader.Close)() // wakes a Next that waits
		s.lock()
		s.tracker = capture.NewTracker(s.limits, s.decoder.ViaName, func(c *parse.Chunk) bool { return yield(c, nil) })
		s.unlock()
		err := s.run()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != io.EOF && !yield(nil, err) {
			return
		}
		s.lock()
		defer s.unlock()
		s.tracker.Flush(parse.CaptureEnd)
	}
}

// run feeds the tracker until the consumer stops, where it returns nil, or
// until there are no more packets, where it says why.
func (s *Source) run() error {
	var (
		p   Packet
		seg capture.Segment
	)
	for last := int64(0); ; last = p.Time {
		err := s.reader.Next(&p)
		s.lock()
		if s.shared {
			s.packets = s.reader.Stats()
		}
		more := err == nil && s.packet(&p, &seg, last)
		s.unlock()
		if !more {
			return err
		}
	}
}

// packet takes the next packet; the one before is of the time last. It returns
// false once the consumer stopped.
func (s *Source) packet(p *Packet, seg *capture.Segment, last int64) bool {
	if p.Time < last {
		s.backwards++
	}
	s.decoder.Advance(p.Time)
	out := s.decoder.Decode(p.Link, p.Data, p.WireLen, seg)
	if s.tap != nil && (out == capture.TCP || out == capture.UDP) {
		s.tap(p, seg)
	}
	switch out {
	case capture.TCP:
		more := s.tracker.Segment(p.Time, seg)
		if p.Comment != "" {
			s.tracker.LeaveOut(seg, capture.ReadLeftOut(p.Comment))
		}
		return more
	case capture.UDP:
		return s.tracker.Datagram(p.Time, seg)
	case capture.EAPOL:
		return s.tracker.EAPOL(p.Time, seg)
	}
	return true
}

// Decoded returns the decoder's counts so far.
func (s *Source) Decoded() capture.DecodeStats {
	s.lock()
	defer s.unlock()
	return s.decoder.Stats()
}

// Notes returns what is to be said about the capture itself; it is complete
// after Chunks. What did not occur is left out.
func (s *Source) Notes() []capture.Note {
	s.lock()
	defer s.unlock()
	f := s.packets
	if !s.shared {
		f = s.reader.Stats()
	}
	all := []capture.Note{
		{
			Kind: "overlong-packets", Count: f.Overlong,
			Text: fmt.Sprintf("%s passed over, as longer than %d KiB", capture.Plural(f.Overlong, "packet was", "packets were"), maxPacket>>10),
		},
		{
			Kind: "secrets", Count: s.unusedSecrets(&f),
			Text: capture.Plural(f.Secrets, "block of TLS secrets in the file was", "blocks of TLS secrets in the file were") + " not used",
		},
		{
			Kind: "other-secrets", Count: f.OtherSecrets,
			Text: capture.Plural(f.OtherSecrets, "block of secrets in the file was", "blocks of secrets in the file were") + " passed over, as not for TLS",
		},
		{
			Kind: "clock-backwards", Count: s.backwards,
			Text: capture.Plural(s.backwards, "time", "times") + " a packet is older than the one before it",
			Hint: "interfaces captured together or a clock that was set; reordercap sorts a file",
		},
	}
	notes := s.decoder.Notes()
	for _, n := range all {
		if n.Count > 0 {
			notes = append(notes, n)
		}
	}
	if s.tracker != nil {
		notes = append(notes, s.tracker.Notes()...)
	}
	return notes
}

// unusedSecrets counts the blocks of TLS secrets that nobody wanted.
func (s *Source) unusedSecrets(f *Stats) int64 {
	if p, ok := s.reader.format.(*pcapng); ok && p.secretsTo == nil {
		return f.Secrets
	}
	return 0
}
