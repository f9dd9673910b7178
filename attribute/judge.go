package attribute

import (
	"cmp"

	"whoasked/parse"
)

// strength orders kinds of evidence; a stronger finding overrules a weaker one
// that says the opposite.
type strength uint8

const (
	behaviour       strength = iota + 1 // how a client reacted
	shape                               // how records are cut
	exact                               // lengths that the protocol forces
	protocol                            // what the RFC forbids or demands, given cleartext facts
	unsealedAbsence                     // a flight opened with keys, without the message
	unsealedRead                        // the message, opened with keys
	absence                             // a flight read in the clear, without the message
	read                                // the message, read in the clear
)

func (s strength) basis() Basis {
	switch {
	case s >= absence:
		return Seen
	case s >= unsealedAbsence:
		return Unsealed
	}
	return Inferred
}

// finding is what a rule concludes from one connection.
type finding struct {
	answer  Answer // Unknown: the rule has nothing to say
	text    string // what it was seen on
	resumed bool
	// strength is that of this finding, 0 for that of its rule.
	strength strength
	// dropped: alone it is none, see [Book.Settle]. reason says why.
	dropped bool
	reason  string
}

// rule is one row of evidence. Rows look at facts only, never at each other.
type rule struct {
	name     string
	strength strength
	when     When
	look     func(*view) finding
}

// rules is the table of all evidence, strongest first within a part of the
// connection. To teach whoasked another sign, add a row and a test that fails
// without it.
var rules = []rule{
	{"request-seen", read, InHandshake, requestSeen},
	{"client-certificate-seen", read, InHandshake, clientCertificateSeen},
	{"ssl3-no-certificate", read, InHandshake, ssl3NoCertificate},
	{"abbreviated-handshake", absence, InHandshake, abbreviated},
	{"server-flight-seen", absence, InHandshake, serverFlightSeen},
	{"client-flight-seen", absence, InHandshake, clientFlightSeen},
	{"request-unsealed", unsealedRead, InHandshake, requestUnsealed},
	{"client-certificate-unsealed", unsealedRead, InHandshake, clientCertificateUnsealed},
	{"server-flight-unsealed", unsealedAbsence, InHandshake, serverFlightUnsealed},
	{"client-flight-unsealed", unsealedAbsence, InHandshake, clientFlightUnsealed},
	{"tls13-psk", protocol, InHandshake, pskAccepted},
	{"tls13-client-flight", exact, InHandshake, clientFlightExact},
	{"tls13-client-certificate", shape, InHandshake, clientFlightLarge},
	{"tls13-server-flight", shape, InHandshake, serverFraming},
	{"browser-dropped", behaviour, InHandshake, browserDropped},
	{"browser-held", behaviour, InHandshake, browserHeld},
	{"renegotiation-unsealed", unsealedRead, InRenegotiation, renegotiationUnsealed},
	{"renegotiation-refused", protocol, InRenegotiation, renegotiationRefused},
	{"renegotiation-client-flight", exact, InRenegotiation, renegotiationClient},
	{"renegotiation-server-flight", shape, InRenegotiation, renegotiationServer},
	{"post-handshake-unsealed", unsealedRead, AfterHandshake, postHandshakeUnsealed},
	{"post-handshake-answer", exact, AfterHandshake, postHandshakeAnswer},
}

// Judge answers for one connection from its facts.
//
// The first handshake and what came later on the connection are weighed apart:
// a request in either is a yes. A no stands for the whole connection as far as
// it was captured.
func Judge(h *parse.Handshake) Verdict { return new(Bench).Judge(h) }

// Bench judges many connections, one after the other, in the same memory. The
// zero value is ready.
type Bench struct{ view view }

// Judge is [Judge].
func (b *Bench) Judge(h *parse.Handshake) Verdict { return judge(b.view.look(h), rules) }

func judge(v *view, rules []rule) Verdict {
	return judgeBehind(v, rules, weigh(v, rules, InHandshake))
}

// judgeBehind is judge where the first handshake was weighed already.
func judgeBehind(v *view, rules []rule, first opinion) Verdict {
	h := v.Handshake
	later := weigh(v, rules, InRenegotiation)
	if len(later.evidence) == 0 && later.reason == "" {
		later = weigh(v, rules, AfterHandshake)
	}
	if first.answer == No && later.answer == Unknown && later.reason == "" {
		later.reason = v.laterDoubt()
	}
	verdict := Verdict{Resumed: first.resumed}
	pick := first
	switch {
	case first.answer == Yes:
	case later.answer == Yes:
		pick = later
	case later.reason != "" && first.answer == No:
		pick = later // something happened later that cannot be told
	case later.answer == No && first.answer == No:
		pick.evidence = append(pick.evidence, later.evidence...)
	}
	verdict.Asked, verdict.Basis, verdict.Evidence = pick.answer, pick.basis, pick.evidence
	switch verdict.Asked {
	case Yes:
		verdict.dropped = pick.dropped
		verdict.By, verdict.When = h.Flow.Addrs[v.server], pick.when
		verdict.Reply, verdict.Required = v.reply(pick.when)
		verdict.Unused = verdict.Reply == ReplyEmpty && verdict.Required == Unknown && pick.when == InHandshake && v.unused()
		asked, reacted := v.times(pick.when)
		verdict.AskedAt, verdict.ReactedAt = h.Start.Add(asked), h.Start.Add(reacted)
	case Unknown:
		verdict.Basis, verdict.dropped = NoBasis, pick.dropped
		verdict.Reason, verdict.later = pick.reason, pick.when != InHandshake
		if verdict.Reason == "" {
			verdict.Reason = v.reason()
		}
		verdict.Reason += v.keyTrouble()
	}
	return verdict
}

// opinion is the weighed outcome for one part of a connection.
type opinion struct {
	answer   Answer
	basis    Basis
	when     When
	resumed  bool
	evidence []Evidence
	reason   string
	dropped  bool
}

// weigh lets every rule of one part of the connection speak. The strongest
// finding decides; one of equal strength that disagrees leaves it unknown. All
// others are listed with it, those that disagree last.
func weigh(v *view, rules []rule, when When) opinion {
	o := opinion{when: when}
	var best strength
	var against []Evidence
	for _, r := range rules {
		if r.when != when || best >= unsealedAbsence && r.strength < unsealedAbsence || best >= absence && r.strength < absence {
			continue // what was read needs no inference beside it
		}
		f := r.look(v)
		strength := cmp.Or(f.strength, r.strength)
		if f.dropped && best == 0 {
			if o.dropped = true; v.support == "" {
				f = finding{text: f.reason}
			}
		}
		switch {
		case f.answer == Unknown:
			if f.text != "" && o.answer == Unknown && o.reason == "" {
				o.reason = f.text
			}
			continue
		case best == 0:
			best, o.answer, o.basis, o.resumed, o.reason = strength, f.answer, strength.basis(), f.resumed, ""
		case f.answer != o.answer && strength >= best:
			return opinion{when: when, reason: "two findings contradict each other: " +
				o.evidence[0].Text + "; but " + f.text}
		case f.answer != o.answer:
			against = append(against, Evidence{Rule: r.name, Text: "against it, but weaker: " + f.text})
			continue
		}
		o.evidence = append(o.evidence, Evidence{Rule: r.name, Text: f.text})
	}
	o.evidence = append(o.evidence, against...)
	return o
}
