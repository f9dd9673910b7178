package parse

import "time"

// EventKind tells which fields of an Event are valid.
type EventKind uint8

// Kinds of events.
const (
	EventClientHello         EventKind = iota + 1 // Event.ClientHello
	EventHelloRetryRequest                        // Event.ServerHello
	EventServerHello                              // Event.ServerHello
	EventCertificateRequest                       // Event.Request
	EventCertificate                              // Event.Certificates, may be empty
	EventEncryptedExtensions                      // Event.Text: the application protocol, may be empty; unsealed
	EventMessage                                  // Event.Message: any handshake message in the clear or unsealed, before its own kind
	EventRecord                                   // Event.Record: a sealed record or a ChangeCipherSpec
	EventRound                                    // Event.Round, Event.Records: what passed before it was recognised
	EventAlert                                    // Event.Alert
	EventPreamble                                 // Event.Before
	EventLost                                     // Event.Bytes
	EventConflict                                 // Event.Bytes
	EventMalformed                                // Event.Text
	EventFin                                      // From closed its direction
	EventEnd                                      // Event.End
	EventTunnel                                   // Event.Text: the host:port of an HTTP CONNECT inside of TLS; unsealed
)

// Event is one fact. The fields other than Kind, From and Time are
// kind-specific; slices and pointers may be kept.
type Event struct {
	Kind EventKind
	From Side
	Time time.Time

	ClientHello  *ClientHello
	ServerHello  *ServerHello
	Request      *CertificateRequest
	Certificates []*Certificate
	Message      Message
	Record       Record
	Round        RoundKind
	Records      []Record
	Alert        Alert
	Bytes        int64
	Before       *Before
	Text         string
	End          End
}
