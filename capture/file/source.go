package file

import (
	"context"
	"fmt"
	"io"
	"iter"

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

// ViaName is [capture.Decoder.ViaName].
func (s *Source) ViaName(via uint32) string { return s.decoder.ViaName(via) }

// Progress is [Reader.Progress].
func (s *Source) Progress() (read, size int64) { return s.reader.Progress() }

// Chunks implements [capture.Source]. It can be called once. An error is an
// *[Error] or ctx's, comes at most once, and only the last chunks of the
// connections still open follow it.
func (s *Source) Chunks(ctx context.Context) iter.Seq2[parse.Chunk, error] {
	return func(yield func(parse.Chunk, error) bool) {
		defer s.reader.Close()
		defer context.AfterFunc(ctx, s.reader.Close)() // wakes a Next that waits
		s.tracker = capture.NewTracker(s.limits, s.decoder.ViaName, func(c parse.Chunk) bool { return yield(c, nil) })
		err := s.run()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != io.EOF && !yield(parse.Chunk{}, err) {
			return
		}
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
		if err := s.reader.Next(&p); err != nil {
			return err
		}
		if p.Time < last {
			s.backwards++
		}
		s.decoder.Advance(p.Time)
		out := s.decoder.Decode(p.Link, p.Data, p.WireLen, &seg)
		if s.tap != nil && (out == capture.TCP || out == capture.UDP) {
			s.tap(&p, &seg)
		}
		switch out {
		case capture.TCP:
			if !s.tracker.Segment(p.Time, &seg) {
				return nil
			}
		case capture.UDP:
			if !s.tracker.Datagram(p.Time, &seg) {
				return nil
			}
		case capture.EAPOL:
			if !s.tracker.EAPOL(p.Time, &seg) {
				return nil
			}
		}
	}
}

// Decoded returns the decoder's counts so far.
func (s *Source) Decoded() capture.DecodeStats { return s.decoder.Stats() }

// Notes returns what is to be said about the capture itself; it is complete
// after Chunks. What did not occur is left out.
func (s *Source) Notes() []capture.Note {
	f := s.reader.Stats()
	all := []capture.Note{
		{
			Kind: "overlong-packets", Count: f.Overlong,
			Text: fmt.Sprintf("%d packets are longer than %d KiB and were passed over", f.Overlong, maxPacket>>10),
		},
		{
			Kind: "secrets", Count: s.unusedSecrets(),
			Text: fmt.Sprintf("%d blocks of TLS secrets are in the file; they were not used", f.Secrets),
		},
		{
			Kind: "other-secrets", Count: f.OtherSecrets,
			Text: fmt.Sprintf("%d blocks of secrets in the file are not for TLS and were passed over", f.OtherSecrets),
		},
		{
			Kind: "clock-backwards", Count: s.backwards,
			Text: fmt.Sprintf("%d times a packet is older than the one before it", s.backwards),
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
func (s *Source) unusedSecrets() int64 {
	if f, ok := s.reader.format.(*pcapng); ok && f.secretsTo == nil {
		return s.reader.stats.Secrets
	}
	return 0
}
