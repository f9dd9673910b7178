package attribute

import (
	"fmt"
	"math"
	"net/netip"
)

// Demand says how much a server wants a client certificate.
type Demand uint8

// Values of Demand; the zero value is unknown.
const (
	DemandUnknown Demand = iota
	// DemandNone: it did not request one.
	DemandNone
	// DemandOptional: it requested one and went on without.
	DemandOptional
	// DemandHTTP: TLS went on without one, the HTTP response refuses for lack of
	// it.
	DemandHTTP
	// DemandTLS: it ended the connection for lack of one.
	DemandTLS
	// DemandAccepted and DemandRefused: it requested one, was given one, and went
	// on or did not. Whether it would have gone on without is not known.
	DemandAccepted
	DemandRefused
)

func (d Demand) String() string {
	return [...]string{"unknown", "not-requested", "optional", "required-by-http", "required-by-tls", "accepted", "refused"}[d]
}

// ParseDemand reads what String writes.
func ParseDemand(s string) (Demand, error) {
	for d := DemandUnknown; d <= DemandRefused; d++ {
		if d.String() == s {
			return d, nil
		}
	}
	return DemandUnknown, fmt.Errorf("%q is no demand", s)
}

// statusMisdirected of RFC 9110 §15.5.20: the server does not answer for the name
// on this connection.
const statusMisdirected = 421

// Trial is what a probe knows of its connection beside the verdict: it is an
// end of it.
type Trial struct {
	Verdict Verdict
	// Presented: a certificate was sent in answer to the request.
	Presented bool
	// Status of the HTTP response, 0 for none; AboutCertificate says that its text
	// speaks of a certificate.
	Status           int
	AboutCertificate bool
	// Through: the server answered or stayed silent after the client's answer.
	// Failure says what happened otherwise.
	Through bool
	Failure string
}

// Demand tells how much the server wants a certificate, and what shows it.
func (t *Trial) Demand() (Demand, string) {
	switch {
	case t.Verdict.Asked == No && t.refuses():
		// As where Host leads to a server that would have asked, and SNI did not.
		return DemandNone, fmt.Sprintf("but HTTP status %d speaks of a certificate", t.Status)
	case t.Verdict.Asked == No:
		return DemandNone, ""
	case t.Verdict.Asked == Unknown:
		return DemandUnknown, t.Verdict.Reason
	case t.Presented:
		return t.presented()
	case t.Verdict.When == AfterHandshake:
		// The client libraries cannot answer it.
		return DemandUnknown, laterWords(t.Verdict.When) + "; what follows without a certificate was not tried"
	case t.Verdict.Required == Yes:
		return DemandTLS, t.Failure
	case t.refuses():
		return DemandHTTP, fmt.Sprintf("HTTP status %d", t.Status)
	case t.Status == statusMisdirected:
		return DemandUnknown, "TLS went on, and HTTP status 421 leaves open what the server wants for this name"
	case t.Verdict.When == InRenegotiation && t.Status >= 400:
		return DemandUnknown, laterWords(t.Verdict.When) + fmt.Sprintf("; HTTP status %d does not say whether for lack of one", t.Status)
	case t.Through:
		return DemandOptional, t.passed()
	}
	return DemandUnknown, t.Failure
}

func laterWords(w When) string {
	if w == InRenegotiation {
		return "the request came by renegotiation, after the HTTP request"
	}
	return "the request came by post-handshake authentication, after the HTTP request"
}

func (t *Trial) presented() (Demand, string) {
	switch {
	case t.refuses():
		return DemandRefused, fmt.Sprintf("HTTP status %d", t.Status)
	case t.Through:
		return DemandAccepted, t.passed()
	}
	return DemandRefused, t.Failure
}

// refuses reports whether HTTP refuses for lack of a certificate: by a status
// that means nothing else (nginx), or by one that says so in its text.
func (t *Trial) refuses() bool {
	switch {
	case t.Status == 495, t.Status == 496:
		return true
	case t.Status >= 400 && t.Status < 500:
		return t.AboutCertificate
	}
	return false
}

func (t *Trial) passed() string {
	if t.Status > 0 {
		return fmt.Sprintf("HTTP status %d", t.Status)
	}
	return "the connection went on"
}

// Probed sums up the connections that a probe made under equal circumstances.
type Probed struct {
	Server netip.AddrPort
	Hop    string // configured name of Server, empty for none
	Target string // host:port as it was named
	SNI    string // empty for none
	// Version and ALPN are what was offered; Hello is whose ClientHello it was.
	Version, ALPN, Hello string
	// Resume: a session was offered for resumption. Later: the client could be
	// asked after the handshake (RFC 8446 §4.2.6).
	Resume, Later bool

	Sent, Asked, NotAsked, Resumed, Unknown, Failed int
	// When is of the latest request, Demand the strongest met, with what shows it.
	When       When
	Demand     Demand
	DemandText string
	// Reasons counts Unknown, Failed and what was not sent by their reason.
	Reasons map[string]int
	// Connections lists the Connection.ID of each that got as far as TLS.
	Connections []uint64
}

// maxProbedReasons bounds Probed.Reasons.
const maxProbedReasons = 16

// Add takes a connection into account.
func (p *Probed) Add(t *Trial) {
	p.Sent++
	d, text := t.Demand()
	switch v := &t.Verdict; {
	case v.Asked == Yes:
		p.Asked++
		p.When = v.When
	case v.Asked == No && v.Resumed:
		p.Resumed++
	case v.Asked == No:
		p.NotAsked++
	default:
		p.Unknown++
		p.reason(v.Reason)
	}
	if d > p.Demand || p.DemandText == "" {
		p.Demand, p.DemandText = max(d, p.Demand), text
	}
}

// Fail counts a connection that did not get as far as TLS.
func (p *Probed) Fail(reason string) {
	p.Sent++
	p.Failed++
	p.reason(reason)
}

// Skip notes why a connection was not made.
func (p *Probed) Skip(reason string) { p.reason(reason) }

func (p *Probed) reason(text string) {
	if p.Reasons == nil {
		p.Reasons = make(map[string]int)
	}
	if _, known := p.Reasons[text]; known || len(p.Reasons) < maxProbedReasons {
		p.Reasons[text]++
	}
}

// Interval is the 95 % confidence interval of the share of fresh handshakes that
// are asked (Wilson score); ok is false without any.
func (p *Probed) Interval() (low, high float64, ok bool) {
	n := float64(p.Asked + p.NotAsked)
	if n == 0 {
		return 0, 1, false
	}
	const z = 1.959964
	share := float64(p.Asked) / n
	mid := (share + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(share*(1-share)/n+z*z/(4*n*n))
	return max(mid-half, 0), min(mid+half, 1), true
}

// Offer tells whether a browser would offer a certificate to an endpoint that
// asked.
type Offer struct {
	Server netip.AddrPort
	Hop    string // configured name of Server, empty for none
	SNI    string
	// File holds the certificate of Subject, which Issuer issued.
	File, Subject, Issuer string
	Offered               Answer
	Because               []string
}
