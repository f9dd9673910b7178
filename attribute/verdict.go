// Package attribute turns facts into answers: who asked for a certificate on
// one connection (Judge), and what the person at the client saw of it
// (Prompts).
//
// An answer has three values, and the zero value is Unknown. Every answer
// carries the evidence it rests on, or the reason why there is none.
package attribute

import (
	"net/netip"
	"time"

	"whoasked/parse"
)

// Answer is yes, no, or unknown; the zero value is Unknown.
type Answer uint8

// Values of Answer.
const (
	Unknown Answer = iota
	No
	Yes
)

func (a Answer) String() string { return [...]string{"unknown", "no", "yes"}[a] }

// Basis says how far the evidence of a verdict reaches; strongest last.
type Basis uint8

const (
	// NoBasis goes with Unknown.
	NoBasis Basis = iota
	// Inferred from record lengths, order and timing of sealed messages.
	Inferred
	// ByProbe: the endpoint itself was asked, at another time.
	ByProbe
	// Unsealed: read in messages opened with keys.
	Unsealed
	// Seen in the clear.
	Seen
)

func (b Basis) String() string { return [...]string{"", "inferred", "probed", "unsealed", "seen"}[b] }

// When tells in which part of a connection the request was made.
type When uint8

// Values of When.
const (
	NoWhen When = iota
	InHandshake
	InRenegotiation
	AfterHandshake
)

func (w When) String() string {
	return [...]string{"", "handshake", "renegotiation", "post-handshake"}[w]
}

// Reply tells what the client did about the request.
type Reply uint8

// Values of Reply.
const (
	NoReply      Reply = iota // nobody asked, or what was answered is not legible
	ReplyCert                 // a certificate was presented
	ReplyEmpty                // an empty Certificate message
	ReplyRefused              // an alert
	ReplyDropped              // closed without a word: Chromium and Firefox before a dialog
	ReplyStalled              // held open in silence: Firefox while its dialog is up
	ReplyNone                 // the capture ends before any answer, or the client had closed before it was asked
)

func (r Reply) String() string {
	return [...]string{"", "certificate", "empty", "refused", "dropped", "stalled", "none"}[r]
}

// Evidence is one rule that fired and what it fired on.
type Evidence struct {
	Rule string // name of the row, stable: "tls13-client-flight"
	Text string // one sentence with the figures, for a person
}

// Verdict answers for one connection: did the TLS server request a client
// certificate, and how do we know.
type Verdict struct {
	Asked Answer
	// By is the address that sent the request; valid iff Asked == Yes.
	By    netip.AddrPort
	Basis Basis
	When  When
	// Resumed: the session was resumed, so that no request was possible in the
	// handshake (RFC 8446 §4.3.2, RFC 5246 §7.3).
	Resumed  bool
	Evidence []Evidence
	// Reason says why the answer is unknown; empty otherwise.
	Reason string
	Reply  Reply
	// Unused: after an empty Certificate the connection was closed before the
	// client had sent anything on it: nothing waited for it.
	Unused bool
	// Required: whether TLS refused to go on without a certificate.
	Required Answer
	// AskedAt is when the server's flight with the request was through, ReactedAt
	// when the client answered or closed, or was last seen silent; valid iff
	// Asked == Yes.
	AskedAt, ReactedAt time.Time

	dropped bool // whether it was asked rests on what else the browser did
	later   bool // what is unknown is behind the first handshake, which did not ask
}

// Connection is a judged connection, what reports and prompts work on.
type Connection struct {
	// ID is unique in one run, from 1, in the order connections ended.
	ID      uint64
	Capture string // file or interface
	// Client and Server are the ends by TLS role; where the roles are unknown,
	// by who opened the TCP connection.
	Client, Server netip.AddrPort
	// SameAs is the ID of the first sighting of the same connection, 0 if this is
	// it. It is counted once.
	SameAs uint64
	// Inside is the ID of the connection through which this one runs in a tunnel,
	// read with its keys: Server is then the proxy. 0 for none.
	Inside uint64
	// Hop is the configured name of Server, empty for none.
	Hop string
	// ClientHop is the configured name of the endpoint at Client's address, as
	// which it is a client of the next one; empty for none.
	ClientHop string
	*parse.Handshake
	Verdict Verdict
}

// Person is the address of who is behind a connection: the client that a PROXY header
// names, else the one whose connection it is.
func (c *Connection) Person() netip.Addr {
	if p := c.Proxied; p != nil && p.Source.IsValid() {
		return p.Source.Addr()
	}
	return c.Client.Addr()
}

// Outcome tells whether there was a dialog and how it ended.
type Outcome uint8

// Values of Outcome.
const (
	OutcomeUnknown     Outcome = iota // a dialog that is open, or connections made in advance
	OutcomeOpen                       // no answer up to the end of the capture
	OutcomeCertificate                // a certificate was chosen
	OutcomeCancelled                  // the person went on without one
	OutcomeNoneShown                  // no dialog: answered by itself, or made in advance
)

func (o Outcome) String() string {
	return [...]string{"unknown", "open", "certificate", "cancelled", "none-shown"}[o]
}

// Shown reports whether a person is known to have seen a dialog.
func (o Outcome) Shown() bool {
	return o == OutcomeOpen || o == OutcomeCertificate || o == OutcomeCancelled
}

// Prompt is one certificate dialog, put together from the connections that a
// browser drops, holds and makes around it.
type Prompt struct {
	AskedBy        netip.AddrPort
	SNI            string
	Client         netip.Addr
	Opened, Closed time.Time // Closed is zero where no answer was seen
	Outcome        Outcome
	When           When     // of the last of Connections
	Connections    []uint64 // Connection.ID, in order
	// Page is the other host that the same browser had connected to right before,
	// over whose page the dialog may have come up; empty for none.
	Page     string
	Evidence string // what the figures were
	// Nth: which dialog it is that Client was shown for AskedBy, whatever the name,
	// from 1; Before are the latest of those before it, in order. Set by
	// [Repeats.Mark] where the dialog is known to have been shown.
	Nth    int
	Before []Earlier

	began time.Time // the first connection that is of it
}

// Asker sums up one (server address, SNI) pair.
type Asker struct {
	Addr netip.AddrPort
	Hop  string
	SNI  string
	// Unread counts connections of which no ClientHello was read, so that the name is
	// not known: they are among those of no name. See [Asker.Nameless].
	Unread int
	// Full counts full handshakes: Asked, NotAsked, and those of Unknown that got
	// as far as a ServerHello. Resumed ones hide whether the server would ask.
	Full, Asked, NotAsked, Resumed, Unknown int
	// Reasons counts Unknown by Verdict.Reason.
	Reasons     map[string]int
	Prompts     int
	First, Last time.Time
	// Passes counts the asked connections that the endpoint only passed through:
	// PassesTo, called PassesToName, ended their TLS, and asked.
	Passes       int
	PassesTo     netip.AddrPort
	PassesToName string
	// Place says whether Addr itself asked or what may stand behind it, and
	// PlaceBecause how that is known, empty for AtOrBehind. Several: the capture
	// or the configuration knows of several hops, so that it matters.
	Place        Place
	PlaceBecause string
	Several      bool
	// Opened counts the asked connections that it opened the next leg of, if clocks
	// agree that could not be compared; only where Place is AtOrBehind.
	Opened int
	Traits Traits
	// Signs are of who ends TCP and TLS there, and of how many machines answer.
	Signs []Sign
	// Declared is what the configuration of Hop says, DeclaredOf of what: a name or
	// wildcard, DefaultName, or empty for Hop as a whole. Agrees tells whether what
	// was seen is like it.
	Declared   Declared
	DeclaredOf string
	Agrees     Answer
	// Causes, best first; see [Explain].
	Causes []Cause
	// Manner is that of the first of the connections that leave most to be asked.
	Manner Manner
	// Probe is what came of asking the endpoint itself, nil if it was not.
	Probe *Confirmation

	asked, clear [Seen + 1]int // full handshakes by their Basis
	plain        int           // of Asked, in the handshake and by evidence of the connection itself
}
