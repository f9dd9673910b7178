package main

import (
	"fmt"

	"whoasked/capture"
)

// notes tells what the counts of the run mean for the answer. It does not
// repeat what sources tell about captures.
func (l *line) notes() []capture.Note {
	var out []capture.Note
	t := &l.tally
	if t.judged() == 0 && t.filtered > 0 {
		out = append(out, capture.Note{
			Kind: "all-filtered", Count: t.filtered,
			Text: fmt.Sprintf("none of the %s passed the filters", count(t.filtered, "TLS connection")),
			Hint: "leave out --sni, --client or --server to see what there is",
		})
	} else if t.filtered > 0 {
		out = append(out, capture.Note{
			Kind: "filtered", Count: t.filtered,
			Text: fmt.Sprintf("%s did not pass the filters and played no part", count(t.filtered, "TLS connection")),
		})
	}
	if t.judged() == 0 && t.filtered == 0 && t.quic == 0 && t.covered == 0 {
		out = append(out, l.noTLS())
	}
	if t.quic > 0 {
		out = append(out, capture.Note{
			Kind: "quic-hidden", Count: t.quic,
			Text: fmt.Sprintf("%s could not be told, because QUIC hides the handshake", count(t.quic, "QUIC connection")),
			Hint: "switch QUIC off in the browser, so that it uses TCP, and capture again; or hand over the session's keys with --keylog",
		})
	}
	if t.covered > 0 {
		out = append(out, capture.Note{
			Kind: "openvpn-hidden", Count: t.covered,
			Text: fmt.Sprintf("%s could not be told, because the handshake is encrypted with a key that both ends hold (tls-crypt)", count(t.covered, "OpenVPN connection")),
			Hint: "the server's configuration tells: it asks every client for a certificate unless verify-client-cert says none",
		})
	}
	if again := l.book.Again(); again > 0 {
		out = append(out, capture.Note{
			Kind: "seen-again", Count: again,
			Text: fmt.Sprintf("%s more of what is listed already, seen inside and outside of a tunnel or at two points of its way: each is counted once", count(again, "connection")),
			Hint: "in JSON, same_as says which",
		})
	}
	if left := l.book.Left(); left > 0 {
		out = append(out, capture.Note{
			Kind: "uncounted", Count: left,
			Text: fmt.Sprintf("%s went beyond what is counted at one time: sums and dialogs may be too low", count(left, "connection")),
			Hint: "narrow it down with --server, --client or --sni",
		})
	}
	if l.keys != nil {
		out = append(out, l.keys.notes(t.opened, t.failed)...)
	}
	return out
}

// noTLS explains an answer with nothing in it.
func (l *line) noTLS() capture.Note {
	if l.own {
		return capture.Note{
			Kind: "no-tls",
			Text: "no connection got as far as a ServerHello, so there is nothing to answer",
			Hint: "check the name, the address, the port and what is spoken there",
		}
	}
	if l.tally.plain == 0 {
		return capture.Note{
			Kind: "no-tls",
			Text: "no connection that can carry TLS was found, so there is nothing to answer",
			Hint: "capture where the connection passes, for instance: tcpdump -i any -s 0 -w FILE tcp port 443",
		}
	}
	return capture.Note{
		Kind: "no-tls", Count: l.tally.plain,
		Text: fmt.Sprintf("none of the %s carried TLS", count(l.tally.plain, "connection")),
		Hint: "begin capturing before the connection is opened, and where it is still TLS: before the endpoint that decrypts it",
	}
}

// count writes a number with its noun.
func count(n int64, noun string) string { return capture.Plural(n, noun, noun+"s") }
