package parse

import (
	"net/netip"
	"time"
)

// Handshake is the record of one connection: every fact the parser found, in
// the order found, and no judgement. Pointers are nil and slices empty for
// what was not seen.
type Handshake struct {
	Flow      Flow
	Midstream bool
	// Start is when the first chunk came, Last when the latest did.
	Start, Last time.Time
	End         End
	// EndFrom is the side that reset the connection; valid iff End == RST.
	EndFrom Side

	// Opening is what the packets that opened a TCP connection show, zero where a
	// source does not tell.
	Opening TCPOpening

	// TLS is set once either side has sent something that only TLS (or SSL)
	// sends. All fields below are zero until then.
	TLS bool
	// Client is the side that sent the ClientHello, or, where none was seen,
	// the side opposite to a server's message; valid iff ClientKnown.
	Client      Side
	ClientKnown bool
	// Preamble names what came before TLS on this connection, outermost first
	// and joined by "+": "http-connect", "proxy-v1+smtp"; "other" for anything
	// unrecognised, empty for nothing.
	Preamble string
	// Proxied is what a PROXY protocol header says about the connection it
	// stands in for, nil without one that names addresses.
	Proxied *Proxied
	// Target is the host:port that the client asked a proxy to connect it to,
	// by HTTP CONNECT or SOCKS, as it was written there; empty for none.
	Target string

	// Method is what TLS runs in to log on to a network: the EAP method, "eap-tls",
	// "peap", "eap-ttls" …, or [MethodOpenVPN]; empty outside of these.
	Method string
	// Covered is set where TLS is encrypted once more with a key that does not come
	// from it, so that nothing of it shows: OpenVPN with tls-crypt.
	Covered bool
	// QUIC is nil unless the connection is QUIC; DTLS unless it is DTLS.
	QUIC *QUICFacts
	DTLS bool

	ClientHello *ClientHello
	// RetryRequested is set when the server answered with a HelloRetryRequest
	// (RFC 8446 §4.1.4).
	RetryRequested bool
	ServerHello    *ServerHello

	Sides [2]SideFacts // indexed by Side

	// Messages lists the handshake messages seen in the clear or unsealed, both
	// sides, in the order found; at most MaxMessages.
	Messages []Message
	// Requests holds the CertificateRequest messages read.
	Requests []*CertificateRequest
	Alerts   []Alert
	// Tape is the start of the sealed part of the first handshake.
	Tape Tape
	// Keys tells what secrets at hand did for the connection. Unsealing is set
	// while there are some, or may come, and records that they open can still
	// change a verdict, or tell of a Tunnel. Of TLS ≤ 1.2 it leaves renegotiations
	// out, which can be told to come without keys, too.
	Keys      KeyState
	Unsealing bool
	// Tunnel is the host:port for which the client asked by HTTP CONNECT inside of
	// this connection, as it was written there, read with keys: the server is a
	// proxy. Empty for none. Inner is the connection that runs in the tunnel, from
	// the CONNECT on, between the same ends; nil where it is not parsed.
	Tunnel string
	Inner  *Handshake
	// Rounds are later handshakes on the same connection: renegotiation
	// (RFC 5246 §7.4.1.1) or post-handshake authentication (RFC 8446 §4.6.2),
	// as far as record headers tell; at most MaxRounds, so that with as many
	// there may have been more.
	Rounds []Round

	// Where Messages and Tape begin, so that most need no memory of their own.
	messages [12]Message
	records  [14]Record
}

func newHandshake() *Handshake {
	h := &Handshake{}
	h.Messages, h.Tape.Records = h.messages[:0], h.records[:0]
	return h
}

// Proxied holds the addresses of a PROXY protocol header: the real client and
// where it connected to. The peer that sent the header says so; TLS does not
// vouch for it.
type Proxied struct {
	Source, Dest netip.AddrPort
}

// Bounds of what a Handshake keeps.
const (
	MaxMessages = 64
	MaxTape     = 40
	MaxRounds   = 8
	MaxAlerts   = 8
	MaxRequests = 8
)

// SideFacts is what one side did to its direction of the stream.
type SideFacts struct {
	Bytes    int64 // payload bytes handed over
	Lost     int64 // bytes missing
	Conflict int64 // bytes that came twice with different content
	// AppData counts records of type 23 that are not part of a handshake as
	// far as the outer layer shows; AppBytes their length.
	AppData  int
	AppBytes int64
	CCS      bool // a ChangeCipherSpec record was seen
	// Hidden counts losses behind which records may have gone unseen; a loss
	// inside the body of one record is none.
	Hidden int
	// Desync counts how often the record boundary was lost and searched again.
	Desync int
	// FinAt is when the side closed its direction, zero while open.
	FinAt time.Time
	// Malformed tells the first thing in this direction that is not valid TLS,
	// empty for none.
	Malformed string
	// Certs is the chain of the latest Certificate message read, leaf first;
	// CertMessages counts them, as an empty chain is an answer too.
	Certs        []*Certificate
	CertMessages int
	// Opened counts sealed records opened with keys, Unopened those that the
	// keys for this connection should have opened and did not. Records that can
	// tell nothing more are not tried and not counted.
	Opened, Unopened int
}

// ClientSide returns the side of the TLS client, or, where the roles are unknown, of
// who opened the connection.
func (h *Handshake) ClientSide() Side {
	if h.ClientKnown {
		return h.Client
	}
	return Opener
}

// Ends returns the addresses of [Handshake.ClientSide] and of the other side.
func (h *Handshake) Ends() (client, server netip.AddrPort) {
	side := h.ClientSide()
	return h.Flow.Addrs[side], h.Flow.Addrs[side.Other()]
}

// ServerCerts returns the server's chain, leaf first, nil if not read.
func (h *Handshake) ServerCerts() []*Certificate {
	if !h.ClientKnown {
		return nil
	}
	return h.Sides[h.Client.Other()].Certs
}

// ClientCerts returns the client's chain, leaf first, nil if not read or empty.
func (h *Handshake) ClientCerts() []*Certificate {
	if !h.ClientKnown {
		return nil
	}
	return h.Sides[h.Client].Certs
}

// ContentType is the record type of RFC 8446 §5.1.
type ContentType uint8

// Record types (IANA TLS ContentType).
const (
	ChangeCipherSpec ContentType = 20
	AlertRecord      ContentType = 21
	HandshakeRecord  ContentType = 22
	ApplicationData  ContentType = 23
	Heartbeat        ContentType = 24
)

// Record is one record header on the tape.
type Record struct {
	// At is the time since Handshake.Start.
	At   time.Duration
	From Side
	Type ContentType
	// Gap is set when bytes of this direction were lost, or its record boundary
	// had to be searched, since the record before: others may be missing there.
	Gap bool
	Len uint16 // length field of the record header
}

// Tape lists record headers in capture order, both sides.
type Tape struct {
	Records []Record
	// Full is set when records behind the last one were left out.
	Full bool
}

// RoundKind tells what opened a later handshake.
type RoundKind uint8

const (
	// Renegotiation: records of type 22 after application data, TLS ≤ 1.2.
	Renegotiation RoundKind = iota
	// PostHandshake: records of type 23 shaped like an answer to a
	// post-handshake CertificateRequest, TLS 1.3.
	PostHandshake
)

// Round is a later handshake on an established connection, sealed.
type Round struct {
	Kind RoundKind
	Tape Tape
	open bool // records still go to this tape
}

// Message is one handshake message read in the clear or unsealed.
type Message struct {
	At   time.Duration // since Handshake.Start
	From Side
	Type HandshakeType
	Len  int // body length in bytes
	// Gap is set when bytes of this direction were lost since the message
	// before it: others may be missing there. For unsealed ones, sequence
	// numbers tell it.
	Gap bool
	// Unsealed: it was read with keys.
	Unsealed bool
	// Round is 0 for the first handshake of the connection and what belongs to
	// none (tickets, key updates), n for the nth later one: a renegotiation, or a
	// post-handshake request with its answer. Only keys make those legible.
	Round uint8
}

// Alert is an alert read in the clear or unsealed (RFC 8446 §6).
type Alert struct {
	At          time.Duration // since Handshake.Start
	From        Side
	Fatal       bool
	Description uint8
	Unsealed    bool // it was read with keys
}

// ClientHello holds the fields of a ClientHello (RFC 8446 §4.1.2) that
// something downstream asks for. With a HelloRetryRequest it is the first one.
type ClientHello struct {
	At            time.Time
	LegacyVersion Version
	Random        [32]byte
	SessionID     []byte
	// Versions is supported_versions without GREASE, or LegacyVersion alone.
	Versions   []Version
	ServerName string
	ALPN       []string
	// SSL2 is set for a hello in the SSL 2.0 layout (RFC 5246 §E.2).
	SSL2 bool
	// ECH: encrypted_client_hello was offered, so ServerName may be the public
	// outer name (or the extension may be GREASE; the wire does not tell).
	ECH bool
	// PostHandshakeAuth: extension 49 was offered (RFC 8446 §4.2.6).
	PostHandshakeAuth bool
	// PSK: pre_shared_key was offered (RFC 8446 §4.2.11).
	PSK bool
	// EarlyData: 0-RTT was announced (RFC 8446 §4.2.10).
	EarlyData bool
	// Ticket: a non-empty session_ticket was offered (RFC 5077 §3.2).
	Ticket bool
	// ALPS: application_settings (17513 or 17613) was offered; Chromium then
	// sends a client EncryptedExtensions message in front of its Finished.
	ALPS bool
	// GREASE: a reserved value of RFC 8701 was among suites or extensions.
	GREASE bool
	// FragmentLimit: max_fragment_length or record_size_limit was offered, so
	// that one message may take several records.
	FragmentLimit bool
	// Extensions lists the extension types in order, GREASE left out.
	Extensions []uint16
	JA3        string // empty unless Options.Fingerprints
	// JA4 is filled but for SSL 2.0 hellos; see Options.Fingerprints.
	JA4 string

	digest uint64 // of what JA4 is made of
}

// ServerHello holds the fields of a ServerHello (RFC 8446 §4.1.3).
type ServerHello struct {
	At        time.Time
	Version   Version // negotiated
	Random    [32]byte
	SessionID []byte
	Cipher    CipherSuite
	// PSK: pre_shared_key was accepted; the server then must not request a
	// certificate in this handshake (RFC 8446 §4.3.2).
	PSK  bool
	ALPN string // TLS 1.3 seals it: empty unless unsealed
	// JA3S is always filled; see Options.Fingerprints.
	JA3S string

	digest         uint64 // of what JA3S is made of
	encryptThenMAC bool   // RFC 7366
	extendedMaster bool   // RFC 7627
	compressed     bool   // a compression method was chosen (RFC 3749)
}

// CertificateRequest is a CertificateRequest message in any of its layouts:
// RFC 2246/4346 §7.4.4, RFC 5246 §7.4.4, RFC 8446 §4.3.2.
type CertificateRequest struct {
	At   time.Time
	From Side
	// Types are the ClientCertificateType values; TLS ≤ 1.2.
	Types []uint8
	// SignatureAlgorithms are SignatureScheme values; TLS 1.2 and 1.3.
	SignatureAlgorithms []uint16
	// Authorities are the acceptable issuers as RFC 4514 strings, in order.
	Authorities []string
	// Context is certificate_request_context; TLS 1.3.
	Context []byte
	// Extensions lists the extension types in order; TLS 1.3.
	Extensions []uint16
	// Unsealed: it was read with keys.
	Unsealed bool
	// Malformed tells where the layout broke; what was read before it stands.
	Malformed string
}

// Certificate is what a report shows of an X.509 certificate.
type Certificate struct {
	Subject, Issuer string   // RFC 4514
	Names           []string // subjectAltName dNSName and iPAddress entries
	SHA256          [32]byte // of the DER encoding
	NotBefore       time.Time
	NotAfter        time.Time
	// Malformed tells what could not be read, empty for none.
	Malformed string
}
