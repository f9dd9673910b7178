package corpus

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"whoasked/attribute"
	"whoasked/parse"
)

// renegotiated are connections over DTLS between an OpenSSL server and client that
// the server renegotiates so many times after some data; none is asked for a
// certificate before the last time.
var renegotiated = []struct {
	name    string
	version parse.Version
	times   int
	asked   attribute.Answer
	reply   attribute.Reply
}{
	{"gcm-asked", parse.DTLS12, 1, attribute.Yes, attribute.ReplyCert},
	{"gcm-none", parse.DTLS12, 1, attribute.No, attribute.NoReply},      // the client's end of it is an alert alone
	{"cbc-asked", parse.DTLS12, 1, attribute.Yes, attribute.ReplyEmpty}, // encrypt-then-MAC
	{"dtls10-asked", parse.DTLS10, 1, attribute.Yes, attribute.ReplyEmpty},
	{"twice-asked", parse.DTLS12, 2, attribute.Yes, attribute.ReplyCert},
	{"twice-none", parse.DTLS12, 2, attribute.No, attribute.NoReply},
	{"again-asked", parse.DTLS12, 1, attribute.Yes, attribute.ReplyCert},  // the last flights are sent again, behind data
	{"again-none", parse.DTLS12, 1, attribute.No, attribute.NoReply},      // the same
	{"resent-asked", parse.DTLS12, 1, attribute.Yes, attribute.ReplyCert}, // the server's first flight is lost, and the hello sent again
	{"resent-none", parse.DTLS12, 1, attribute.No, attribute.NoReply},     // the same
}

// TestRenegotiatedDTLS: with keys, a request in a renegotiation is read, and without
// them told by its shape; whatever is lost turns no answer around, and keys that do
// not fit do no harm.
func TestRenegotiatedDTLS(t *testing.T) {
	for i, tt := range renegotiated {
		t.Run(tt.name, func(t *testing.T) {
			pkts := load(t, filepath.Join("testdata", "dtls", tt.name+".pcap"))
			log := readFile(t, "testdata", "dtls", tt.name+".log")
			got := judgeWith(pkts, keysFrom(log))
			if len(got) != 1 {
				t.Fatalf("%d connections", len(got))
			}
			h, v := got[0].Handshake, got[0].verdict
			if h.ServerHello.Version != tt.version || v.Asked != tt.asked || v.Reply != tt.reply || h.Keys != parse.KeysOpened ||
				h.Sides[0].Unopened+h.Sides[1].Unopened > 0 {
				t.Fatalf("%v: %v %v, reply %v, %v %q; keys %v, %+v", h.ServerHello.Version, v.Asked, v.Basis, v.Reply, v.Evidence, v.Reason, h.Keys, h.Sides)
			}
			if tt.asked == attribute.Yes && (v.Basis != attribute.Unsealed || v.When != attribute.InRenegotiation || len(h.Requests) != 1 || len(h.Requests[0].Authorities) != 1) {
				t.Errorf("%v %v, %+v", v.Basis, v.When, h.Requests)
			}
			closed := slices.ContainsFunc(h.Alerts, func(a parse.Alert) bool { return a.Unsealed && a.Description == 0 })
			if finished := messages(h, parse.TypeFinished); finished < 2+2*tt.times || messages(h, parse.TypeServerHelloDone) != 1+tt.times || !closed {
				t.Errorf("%d Finished, alerts %+v, messages %+v", finished, h.Alerts, h.Messages)
			}
			for _, keys := range []*parse.Keys{keysFrom(log), nil} {
				whole := judgeWith(pkts, keys)[0]
				if whole.verdict.Asked != tt.asked || whole.verdict.Reply != tt.reply || len(whole.Rounds) != tt.times {
					t.Errorf("keys %v: %v, %v, %d rounds", keys != nil, whole.verdict.Asked, whole.verdict.Reply, len(whole.Rounds))
				}
				withoutSome(t, pkts, keys, tt.asked)
			}
			other := readFile(t, "testdata", "dtls", renegotiated[(i+1)%len(renegotiated)].name+".log")
			wrong := fmt.Appendf(nil, "CLIENT_RANDOM %x %096x\n", h.ClientHello.Random, 1)
			for what, c := range map[string]connection{
				"no keys": judge(pkts)[0], "of another": judgeWith(pkts, keysFrom(other))[0], "wrong": judgeWith(pkts, keysFrom(wrong))[0],
			} {
				if v := c.verdict; v.Asked != attribute.Unknown && v.Asked != tt.asked || v.Basis == attribute.Unsealed || c.Keys == parse.KeysOpened || (what == "wrong") != (c.Keys == parse.KeysFailed) {
					t.Errorf("%s: %v %v %v, keys %v", what, v.Asked, v.Basis, v.Evidence, c.Keys)
				}
			}
		})
	}
}

// withoutSome demands of every loss of up to three packets in a row that it costs
// the answer at most.
func withoutSome(t *testing.T, pkts []packet, keys *parse.Keys, asked attribute.Answer) {
	t.Helper()
	unknown := 0
	for at := range pkts {
		for n := 1; n <= 3 && at+n <= len(pkts); n++ {
			for _, c := range judgeWith(slices.Delete(slices.Clone(pkts), at, at+n), keys) {
				switch c.verdict.Asked {
				case attribute.Unknown:
					unknown++
				case asked:
				case attribute.No:
					if renegotiationGone(c.Handshake) {
						continue // nothing of it is in what is left
					}
					fallthrough
				default:
					t.Fatalf("keys %v, without packets %d to %d: %v, %v", keys != nil, at+1, at+n, c.verdict.Asked, c.verdict.Evidence)
				}
			}
		}
	}
	if unknown == 0 {
		t.Error("no loss cost an answer")
	}
}

func messages(h *parse.Handshake, typ parse.HandshakeType) (n int) {
	for _, m := range h.Messages {
		if m.Type == typ {
			n++
		}
	}
	return n
}

// renegotiationGone reports whether nothing shows that there was one.
func renegotiationGone(h *parse.Handshake) bool { return len(h.Rounds) == 0 }
