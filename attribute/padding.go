package attribute

import (
	"fmt"

	"whoasked/parse"
)

// A client may pad the content of its records with zeros (RFC 8446 §5.4), and
// then lengths say something else than they seem to.

// padded reports whether every record may have been padded to a block, so that
// a length carries no information. Padding counts the inner type with (tag 16).
func padded(recs []parse.Record) bool {
	aligned := func(r parse.Record) bool { return (r.Len-16)%64 == 0 || (r.Len-17)%64 == 0 }
	for _, r := range recs {
		if !aligned(r) {
			return false
		}
	}
	return true
}

// blockBehind returns the least block of two bytes or more that the client may
// pad to, given what its first records would then hold: contents whose records
// have these lengths without padding. It is 0 if no block explains all of the
// client's records, and where there is only one, which some block always does.
func (v *view) blockBehind(suite parse.CipherSuite, unpadded ...int) int {
	recs := v.sealedC
	overhead, ok := suite.Sealed13(0)
	if !ok || len(recs) < 2 || v.cannotPad() {
		return 0
	}
	tag := overhead - 1 // padding stands behind the type of the content
	common := 0
	for _, r := range recs {
		common = divisor(common, int(r.Len)-tag)
	}
	for block := 2; block <= common; block++ {
		if common%block == 0 && padsTo(recs, unpadded, tag, block) {
			return block
		}
	}
	return 0
}

// cannotPad reports whether the client is Chromium or Firefox, which never do.
func (v *view) cannotPad() bool {
	return v.browser() != "" || v.ClientHello != nil && v.ClientHello.ALPS
}

// paddingTold reports whether no more records can tell that the client pads.
func (v *view) paddingTold() bool {
	server, _ := v.framing()
	return len(v.sealedC) > 1 || v.Tape.Full || v.cannotPad() || v.pskTaken() ||
		v.flight.kind == flightFinished && server.answer == No || v.flight.kind == flightEmpty && (server.answer == Yes || v.refusedAtOnce())
}

// refusedAtOnce reports whether the server's first reaction to the first record of
// the client is an alert, with no time for the client to say more, or for the
// server to tire of waiting: it takes an empty Certificate so, and no Finished.
func (v *view) refusedAtOnce() bool {
	first := v.sealedC[0].At
	for _, r := range v.sealedS {
		if r.At >= first {
			return v.ServerHello != nil && v.isAlert13(r) && r.At < first+heldAtLeast &&
				(len(v.sealedC) == 1 || r.At < v.sealedC[1].At)
		}
	}
	return false
}

// padsTo reports whether padding to a block makes the first records out of
// unpadded ones.
func padsTo(recs []parse.Record, unpadded []int, tag, block int) bool {
	for i, n := range unpadded[:min(len(unpadded), len(recs))] {
		blocks := (n - tag + block - 1) / block
		if int(recs[i].Len) != tag+blocks*block {
			return false
		}
	}
	return true
}

// divisor is the greatest common one.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// perhapsFinished says why a first record as long as an empty Certificate and
// Finished may hold less, empty if it does not.
func (v *view) perhapsFinished() string {
	recs := v.sealedC
	fin, _ := v.flight.suite.FinishedLen()
	block := v.blockBehind(v.flight.suite, fin)
	_, closed := v.finAt(v.client)
	switch {
	case v.flight.records > 1 && len(recs) == 1 && closed:
		return fmt.Sprintf("the client closed behind a single sealed record of %d bytes: an empty Certificate without Finished, or a padded alert", recs[0].Len)
	case v.flight.records == 1 && block > 0 && !v.refusedAtOnce():
		return fmt.Sprintf("the client may pad its records (%s bytes) to blocks of %d: the first may be Finished alone, padded to that length", lengths(recs[:min(3, len(recs))]), block)
	}
	return ""
}

// perhapsPadded says why a first record as long as Finished may be none, empty if
// it is one: padding may have made an empty Certificate and Finished of one
// length, or one record of both, and the server's flight does not speak against it.
func (v *view) perhapsPadded() string {
	recs := v.sealedC
	server, _ := v.framing()
	if len(recs) < 2 || v.pskTaken() || server.answer == No {
		return ""
	}
	if recs[1].Len == recs[0].Len && !recs[1].Gap && (len(v.sealedS) == 0 || server.answer == Yes) {
		return fmt.Sprintf("the client's first two sealed records are both %d bytes: the first may be Finished, or an empty Certificate padded to that length", recs[0].Len)
	}
	for _, suite := range v.suites13() {
		fin, _ := suite.FinishedLen()
		empty, _ := suite.Sealed13(emptyCertificate)
		for _, asked := range [][]int{{empty, fin}, {fin + emptyCertificate}} {
			if block := v.blockBehind(suite, asked...); block > 0 {
				return fmt.Sprintf("the client may pad its records (%s bytes) to blocks of %d: an empty Certificate may be in the first", lengths(recs[:min(3, len(recs))]), block)
			}
		}
	}
	return ""
}

// forced reports whether no padding can make another flight look like this one.
func (f *flight) forced(recs []parse.Record) bool {
	switch f.kind {
	case flightFinished:
		fin, _ := f.suite.FinishedLen()
		return int(recs[0].Len) == fin
	case flightEmpty:
		return f.records == 2 && len(recs) > 1 && !recs[1].Gap
	}
	return true
}
