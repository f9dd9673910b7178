package attribute

import (
	"fmt"
	"strconv"

	"whoasked/parse"
)

// Lengths of TLS 1.3 handshake messages with their four-byte header.
const (
	emptyCertificate = 8  // RFC 8446 §4.4.2: empty context, empty list
	alpsSettings     = 10 // Chromium's client EncryptedExtensions with empty settings
	jssePadding      = 16 // zeros that JSSE adds to every record
	alertContent     = 2
	// leastCertificate is below any Certificate, CertificateVerify and Finished
	// in one record, and above any of the other contents.
	leastCertificate = 300
	// maxFlight is how many records a flight with a certificate may take.
	maxFlight = 8
)

// flightKind is what a TLS 1.3 client's second flight holds.
type flightKind uint8

const (
	flightNone     flightKind = iota // nothing was sent
	flightUnclear                    // matches no known shape, or may be incomplete
	flightFinished                   // Finished alone: no request
	flightEmpty                      // empty Certificate, Finished
	flightCert                       // Certificate, CertificateVerify, Finished, each in its record
	flightLarge                      // one record too large for anything but a Certificate
	flightAlert                      // an alert
)

// flight is a client's second flight by its record lengths.
type flight struct {
	kind flightKind
	// records is how many sealed records of the client it took.
	records int
	text    string
	suite   parse.CipherSuite
}

// readFlight classifies the client's sealed records by the cipher suite of the
// ServerHello (WIRE: Finished is 4 + hash, an empty Certificate 8 bytes, each
// record adds 1 + tag). Without a ServerHello it tries the suites of either
// hash and believes what only one reading makes sense of.
func (v *view) readFlight() flight {
	if len(v.sealedC) == 0 {
		return flight{}
	}
	switch {
	case v.ServerHello != nil && !v.tls13:
		return flight{}
	case v.ServerHello == nil && !v.maybe13():
		return flight{}
	case v.sealedC[0].Gap:
		return flight{kind: flightUnclear, text: "client bytes are missing in front of the first sealed record captured"}
	case v.ClientHello != nil && v.ClientHello.EarlyData && !v.pskTaken():
		return flight{kind: flightUnclear, text: "the client announced 0-RTT data that the server did not take up, so its sealed records cannot be told from early data"}
	}
	var out flight
	for _, s := range v.suites13() {
		f := v.readFlightAs(s)
		f.suite = s
		switch {
		case out.kind == flightNone || out.kind == flightUnclear:
			out = f
		case f.kind != flightUnclear && f.kind != out.kind:
			return flight{kind: flightUnclear, text: "the client's records can be read in two ways without the ServerHello's cipher suite"}
		}
	}
	return out
}

// suites13 are the cipher suite of TLS 1.3 that was chosen or, where the
// ServerHello is missing, one of either hash.
func (v *view) suites13() []parse.CipherSuite {
	if v.ServerHello != nil {
		return []parse.CipherSuite{v.ServerHello.Cipher}
	}
	return []parse.CipherSuite{0x1301, 0x1302}
}

// maybe13 reports whether a connection whose ServerHello is missing can be TLS
// 1.3: it was offered, and no sealed record is of the kind that TLS ≤ 1.2 begins
// with.
func (v *view) maybe13() bool {
	if v.ClientHello == nil || v.sealedHandshake(v.client) || v.sealedHandshake(v.server) || v.find(v.client, parse.TypeClientKeyExchange) != nil ||
		v.Midstream || v.find(v.server, parse.TypeCertificate) != nil {
		return false
	}
	for _, o := range v.ClientHello.Versions {
		if o.IsTLS13() {
			return true
		}
	}
	return false
}

func (v *view) pskTaken() bool { return v.ServerHello != nil && v.ServerHello.PSK }

func (v *view) readFlightAs(suite parse.CipherSuite) flight {
	fin, ok := suite.FinishedLen()
	if !ok {
		return flight{kind: flightUnclear, text: fmt.Sprintf("the record lengths of cipher suite %s are not known", suite)}
	}
	record := func(n int) int { l, _ := suite.Sealed13(n); return l }
	recs := v.sealedC
	first, second := int(recs[0].Len), 0
	if len(recs) > 1 && !recs[1].Gap {
		second = int(recs[1].Len)
	}
	alps := v.ClientHello == nil || v.ClientHello.ALPS
	switch {
	case first == fin:
		return flight{kind: flightFinished, records: 1, text: fmt.Sprintf("Finished alone is %d bytes under %s, and so is the client's first sealed record: no Certificate was due", fin, suite)}
	case first == fin+alpsSettings && alps:
		return flight{kind: flightFinished, records: 1, text: fmt.Sprintf("the client's first sealed record is %d bytes: application settings (ALPS) and Finished under %s, no Certificate was due", first, suite)}
	case first == fin+emptyCertificate:
		return flight{kind: flightEmpty, records: 1, text: fmt.Sprintf("the client's first sealed record is %d bytes: Finished under %s is %d, an empty Certificate adds 8", first, suite, fin)}
	case first == fin+emptyCertificate+alpsSettings && alps:
		return flight{kind: flightEmpty, records: 1, text: fmt.Sprintf("the client's first sealed record is %d bytes: application settings (ALPS), an empty Certificate (8) and Finished under %s", first, suite)}
	case first == record(emptyCertificate) && (second == 0 || second == fin):
		return flight{kind: flightEmpty, records: 2, text: fmt.Sprintf("the client's first sealed record is %d bytes, exactly an empty Certificate%s", first, finishedBehind(second, suite))}
	case first == record(emptyCertificate)+jssePadding && second == fin+jssePadding:
		return flight{kind: flightEmpty, records: 2, text: fmt.Sprintf("the client's first sealed records are %d and %d bytes: an empty Certificate and Finished under %s, each padded by 16 as JSSE does", first, second, suite)}
	case first == fin+jssePadding:
		return flight{kind: flightFinished, records: 1, text: fmt.Sprintf("the client's first sealed record is %d bytes: Finished under %s padded by 16 as JSSE does, no Certificate was due", first, suite)}
	case first == record(alertContent) || first == record(alertContent)+jssePadding:
		return flight{kind: flightAlert, records: 1, text: fmt.Sprintf("the client's only answer to the server's flight is a record of %d bytes, an alert", first)}
	}
	return v.readCertificateFlight(suite, fin)
}

func finishedBehind(second int, suite parse.CipherSuite) string {
	if second == 0 {
		return ""
	}
	return fmt.Sprintf(", the second %d, exactly Finished under %s", second, suite)
}

// readCertificateFlight looks for a client that presented a certificate.
func (v *view) readCertificateFlight(suite parse.CipherSuite, fin int) flight {
	recs := v.sealedC
	first := int(recs[0].Len)
	for i := 2; i < len(recs) && i < maxFlight && !recs[i].Gap; i++ {
		for _, pad := range []int{0, jssePadding} {
			if int(recs[i].Len) == fin+pad && isCertificateVerify(suite, int(recs[i-1].Len)-pad) && first >= 100 {
				return flight{kind: flightCert, records: i + 1, text: fmt.Sprintf(
					"the client's first sealed records are %s bytes: Certificate, CertificateVerify, and exactly Finished under %s", lengths(recs[:i+1]), suite)}
			}
		}
	}
	if first < leastCertificate {
		return flight{kind: flightUnclear, text: fmt.Sprintf("the client's first sealed record of %d bytes has no known shape under %s", first, suite)}
	}
	if padded(recs) || v.blockBehind(suite, fin) > 0 {
		return flight{kind: flightUnclear, text: fmt.Sprintf("the client pads its records (%s bytes), so their lengths say nothing", lengths(recs[:min(3, len(recs))]))}
	}
	return flight{kind: flightLarge, records: 1, text: fmt.Sprintf("the client's first sealed record is %d bytes, where Finished alone would be %d: a Certificate is in it", first, fin)}
}

// certificateVerifySizes are lengths of CertificateVerify messages by key, with
// the header of four bytes, the scheme and the signature's length (RFC 8446
// §4.4.3). DER makes ECDSA signatures vary by a few bytes.
var certificateVerifySizes = []struct {
	key      string
	min, max int
}{
	{"Ed25519", 8 + 64, 8 + 64},
	{"ECDSA P-256", 8 + 66, 8 + 72},
	{"ECDSA P-384", 8 + 98, 8 + 104},
	{"Ed448", 8 + 114, 8 + 114},
	{"RSA-1024", 8 + 128, 8 + 128},
	{"ECDSA P-521", 8 + 132, 8 + 139},
	{"RSA-2048", 8 + 256, 8 + 256},
	{"RSA-3072", 8 + 384, 8 + 384},
	{"RSA-4096", 8 + 512, 8 + 512},
	{"RSA-8192", 8 + 1024, 8 + 1024},
	{"ML-DSA-44", 8 + 2420, 8 + 2420},
	{"ML-DSA-65", 8 + 3309, 8 + 3309},
	{"ML-DSA-87", 8 + 4627, 8 + 4627},
}

// isCertificateVerify reports whether a record of n bytes holds exactly a
// CertificateVerify of a known kind of key.
func isCertificateVerify(suite parse.CipherSuite, n int) bool {
	for _, s := range certificateVerifySizes {
		lo, _ := suite.Sealed13(s.min)
		hi, _ := suite.Sealed13(s.max)
		if lo <= n && n <= hi {
			return true
		}
	}
	return false
}

// lengths lists record lengths for a sentence: "588, 281, 69".
func lengths(recs []parse.Record) string {
	b := make([]byte, 0, 8*len(recs))
	for i, r := range recs {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendUint(b, uint64(r.Len), 10)
	}
	return string(b)
}
