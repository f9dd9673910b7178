package main

import (
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"time"

	"whoasked/attribute"
	"whoasked/capture/live"
	"whoasked/capture/relay"
	"whoasked/parse"
	"whoasked/report/evidence"
	"whoasked/service/metrics"
)

// snapshot is what has been counted at one time.
type snapshot struct {
	told      told
	tally     tally
	uncounted int64
	live      *live.Stats     // nil where nothing is captured by ourselves
	relay     *relay.Stats    // nil for watch
	files     *evidence.Stats // nil where no evidence is kept
}

type (
	row = metrics.Row[snapshot]
	put = func(value float64, labels ...string)
)

// counter makes a row of one value of what every run counts.
func counter(name, help string, read func(*snapshot) int64) row {
	return row{Name: name, Help: help, Read: func(s *snapshot, put put) { put(float64(read(s))) }}
}

// counterOf makes a row of one value of what only some runs count.
func counterOf[T any](name, help string, part func(*snapshot) *T, read func(*T) int64) row {
	return row{Name: name, Help: help, Read: func(s *snapshot, put put) {
		if p := part(s); p != nil {
			put(float64(read(p)))
		}
	}}
}

func gauge(r row) row {
	r.Gauge = true
	return r
}

// metricRows is the table of all metrics.
func metricRows() []row {
	rows := []row{
		{Name: "whoasked_build_info", Help: "What build this is; always 1.", Gauge: true, Labels: []string{"version", "goversion"},
			Read: func(_ *snapshot, put put) {
				info, _ := debug.ReadBuildInfo()
				put(1, versionName(version, info), runtime.Version())
			}},
		gauge(counter("whoasked_connections_open", "Connections followed now.", func(s *snapshot) int64 { return s.told.open })),
		{Name: "whoasked_connections_ended_total", Help: "Connections that have ended, by what they carried.", Labels: []string{"carried"},
			Read: func(s *snapshot, put put) {
				put(float64(s.told.tls), "tls")
				put(float64(s.tally.quic), "quic")
				put(float64(s.tally.plain), "other")
			}},
		counter("whoasked_connections_filtered_total", "TLS connections left out by sni, client and server.", func(s *snapshot) int64 { return s.tally.filtered }),
		counter("whoasked_connections_uncounted_total", "Connections beyond what is counted at one time in sums and dialogs.", func(s *snapshot) int64 { return s.uncounted }),
		{Name: "whoasked_verdicts_total", Help: "Answers to whether a client certificate was asked for; an answer that changed counts again.", Labels: []string{"asked"},
			Read: func(s *snapshot, put put) {
				for _, a := range []attribute.Answer{attribute.Yes, attribute.No, attribute.Unknown} {
					put(float64(s.told.verdicts[a]), a.String())
				}
			}},
		{Name: "whoasked_requests_total", Help: "Connections in which an endpoint asked for a client certificate; endpoints beyond the first 100 are \"other\".", Labels: []string{"asked_by", "hop"},
			Read: func(s *snapshot, put put) {
				for a, n := range s.told.askers {
					put(float64(n), parse.EndName(a.by), a.hop)
				}
				if s.told.others > 0 {
					put(float64(s.told.others), "other", "")
				}
			}},
		{Name: "whoasked_prompts_total", Help: "Certificate dialogs by outcome; one found open, or perhaps open, counts so, and again as what came of it.", Labels: []string{"outcome"},
			Read: func(s *snapshot, put put) {
				for _, o := range []attribute.Outcome{attribute.OutcomeUnknown, attribute.OutcomeOpen, attribute.OutcomeCertificate, attribute.OutcomeCancelled, attribute.OutcomeNoneShown} {
					put(float64(s.told.prompts[o]), o.String())
				}
			}},
		{Name: "whoasked_parser_notes_total", Help: "Times that the bytes of a connection were not as they should be.", Labels: []string{"kind"},
			Read: func(s *snapshot, put put) {
				put(float64(s.told.events[parse.EventLost]), "lost")
				put(float64(s.told.events[parse.EventConflict]), "conflict")
				put(float64(s.told.events[parse.EventMalformed]), "malformed")
			}},
	}
	return append(append(append(rows, liveRows()...), evidenceRows()...), relayRows()...)
}

func liveRows() []row {
	of := func(name, help string, read func(*live.Stats) int64) row {
		return counterOf(name, help, func(s *snapshot) *live.Stats { return s.live }, read)
	}
	return []row{
		of("whoasked_packets_total", "Packets that the kernel handed over.", func(s *live.Stats) int64 { return s.Packets }),
		of("whoasked_bytes_total", "Bytes of these packets on the wire.", func(s *live.Stats) int64 { return s.Bytes }),
		of("whoasked_ring_dropped_packets_total", "Packets that the kernel dropped because the ring was full.", func(s *live.Stats) int64 { return s.Dropped }),
		of("whoasked_ring_full_total", "Times that the ring was full.", func(s *live.Stats) int64 { return s.Freezes }),
		{Name: "whoasked_ring_fill_ratio", Help: "How much of the fullest ring waits to be read, from 0 to 1.", Gauge: true,
			Read: func(s *snapshot, put put) {
				if s.live != nil {
					put(float64(s.live.Fill) / 100)
				}
			}},
		of("whoasked_withheld_packets_total", "Packets left to the kernel, as no answer needed them.", func(s *live.Stats) int64 { return s.Kept }),
		of("whoasked_withheld_bytes_total", "Bytes of these packets.", func(s *live.Stats) int64 { return s.KeptBytes }),
		of("whoasked_connections_evicted_total", "Connections given up while open, because too many were.", func(s *live.Stats) int64 { return s.Tracked.Evicted }),
		of("whoasked_half_open_evicted_total", "Connections given up that had carried nothing, because too many were followed.", func(s *live.Stats) int64 { return s.Tracked.HalfOpen }),
		of("whoasked_lost_bytes_total", "Bytes that are missing from connections.", func(s *live.Stats) int64 { return s.Tracked.LostBytes }),
		of("whoasked_full_buffers_total", "Times that bytes behind a gap were handed over early, because there were too many.", func(s *live.Stats) int64 { return s.Tracked.LimitGaps }),
	}
}

func evidenceRows() []row {
	of := func(name, help string, read func(*evidence.Stats) int64) row {
		return counterOf(name, help, func(s *snapshot) *evidence.Stats { return s.files }, read)
	}
	return []row{
		of("whoasked_evidence_written_total", "Files of evidence written, those written again included.", func(s *evidence.Stats) int64 { return s.Files }),
		gauge(of("whoasked_evidence_bytes", "Size of all files of evidence.", func(s *evidence.Stats) int64 { return s.Bytes })),
		of("whoasked_evidence_removed_total", "Files of evidence removed as the oldest.", func(s *evidence.Stats) int64 { return s.Removed }),
		of("whoasked_evidence_lost_total", "Connections of which no evidence could be kept.", func(s *evidence.Stats) int64 { return s.Lost }),
	}
}

func relayRows() []row {
	of := func(name, help string, read func(*relay.Stats) int64) row {
		return counterOf(name, help, func(s *snapshot) *relay.Stats { return s.relay }, read)
	}
	return []row{
		gauge(of("whoasked_relay_clients_open", "Connections of clients that are open.", func(s *relay.Stats) int64 { return s.Open })),
		of("whoasked_relay_connections_total", "Connections relayed to where they wanted to go.", func(s *relay.Stats) int64 { return s.Relayed }),
		of("whoasked_relay_idle_total", "Connections ended because nothing passed for too long.", func(s *relay.Stats) int64 { return s.Idle }),
		of("whoasked_relay_unobserved_bytes_total", "Bytes relayed without being looked at, for want of room.", func(s *relay.Stats) int64 { return s.Unobserved }),
		{Name: "whoasked_relay_bytes_total", Help: "Bytes relayed, by who sent them.", Labels: []string{"from"},
			Read: func(s *snapshot, put put) {
				if s.relay != nil {
					put(float64(s.relay.Bytes[parse.Opener]), "client")
					put(float64(s.relay.Bytes[parse.Accepter]), "server")
				}
			}},
		{Name: "whoasked_relay_failures_total", Help: "Connections that were refused, or failed, by kind of note.", Labels: []string{"kind"},
			Read: func(s *snapshot, put put) {
				if s.relay != nil {
					for k, n := range s.relay.Trouble {
						put(float64(n), k.String())
					}
				}
			}},
	}
}

// snapshot takes what was counted so far.
func (r *watchRun) snapshot() *snapshot {
	w := r.watching
	w.mu.Lock()
	s := &snapshot{told: w.told, tally: w.tally, uncounted: w.book.Left()}
	s.told.verdicts, s.told.prompts = maps.Clone(w.told.verdicts), maps.Clone(w.told.prompts)
	s.told.events, s.told.askers = maps.Clone(w.told.events), maps.Clone(w.told.askers)
	w.mu.Unlock()
	if r.counted != nil {
		r.counted(s)
	}
	if w.files != nil {
		n := w.files.Stats()
		s.files = &n
	}
	return s
}

// listenMetrics opens the socket, which may take privileges.
func (r *watchRun) listenMetrics() (err error) {
	if address := r.config.Service.Metrics; address != "" {
		if r.metrics, err = metrics.Listen(address); err != nil {
			return listenHint(err, address)
		}
		r.terminal.note(fmt.Sprintf("metrics at http://%s/metrics", r.metrics.Addr()))
	}
	return nil
}

func (r *watchRun) serveMetrics() error {
	if r.metrics == nil {
		return nil
	}
	r.ticked.Store(time.Now().UnixNano())
	return metrics.Serve(r.metrics, metricRows(), r.snapshot, r.well)
}

func (r *watchRun) closeMetrics() {
	if r.metrics != nil {
		r.metrics.Close()
	}
}

// stuckAfter is how long the clock may stand still.
const stuckAfter = 20 * tickEvery

// well returns why the run is not at work: its clock, which takes its turn with
// the packets and the writing of answers, stands still.
func (r *watchRun) well() error {
	if since := time.Since(time.Unix(0, r.ticked.Load())); since > stuckAfter {
		return fmt.Errorf("stuck for %s", since.Round(time.Second))
	}
	return nil
}
