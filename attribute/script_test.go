package attribute

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"whoasked/parse"
)

// script builds the facts of one connection from a line such as
//
//	C:hello S:hello13 S:23/36 S:23/94 @0.5 C:23/61 C:fin
//
// Each word is side:thing; C opens the connection and is the TLS client. @t sets
// the time in seconds since the start; otherwise a millisecond passes.
//
//	hello, hello+x,y   ClientHello; options: chromium firefox pha early psk 12only
//	hello13 hello12    ServerHello; options: psk, sha384, ccm8, rsa, echo
//	23/61 22/40 20/1   a sealed record (type/length); a trailing ! marks a gap
//	cert cert0 req done cke ske ticket status   a clear message; ! marks a gap
//	alert40 warn41     a clear alert
//	*req *cert0 *fin   an unsealed message, in the round open last; *alert116 an unsealed alert
//	keys-failed        secrets did not open a record of the side; unopened: one of many
//	round              what follows is a renegotiation; pha: post-handshake
//	fin rst lost hidden   end of a direction, a reset, lost bytes, a loss that may hide records
func script(t *testing.T, line string) *parse.Handshake {
	t.Helper()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := &parse.Handshake{TLS: true, Start: start, End: parse.CaptureEnd}
	h.Flow.Addrs = [2]netip.AddrPort{netip.MustParseAddrPort("198.18.0.10:40000"), netip.MustParseAddrPort("198.18.0.20:443")}
	at := time.Duration(0)
	var round *parse.Round
	for word := range strings.FieldsSeq(line) {
		if sec, ok := strings.CutPrefix(word, "@"); ok {
			f, err := strconv.ParseFloat(sec, 64)
			if err != nil {
				t.Fatalf("script: %q: %v", word, err)
			}
			at = time.Duration(f * float64(time.Second))
			h.Last = start.Add(at)
			continue
		}
		if word == "round" || word == "pha" {
			kind := parse.Renegotiation
			if word == "pha" {
				kind = parse.PostHandshake
			}
			h.Rounds = append(h.Rounds, parse.Round{Kind: kind})
			round = &h.Rounds[len(h.Rounds)-1]
			continue
		}
		side, thing, ok := strings.Cut(word, ":")
		if !ok {
			t.Fatalf("script: %q", word)
		}
		from := parse.Opener
		if side == "S" {
			from = parse.Accepter
		}
		at += time.Millisecond
		h.Last = start.Add(at)
		h.Sides[from].Bytes++
		applyWord(t, h, round, from, at, thing)
	}
	return h
}

var scriptMessages = map[string]parse.Message{
	"cert":   {Type: parse.TypeCertificate, Len: 800},
	"cert0":  {Type: parse.TypeCertificate, Len: 3},
	"req":    {Type: parse.TypeCertificateRequest, Len: 100},
	"done":   {Type: parse.TypeServerHelloDone},
	"cke":    {Type: parse.TypeClientKeyExchange, Len: 33},
	"ske":    {Type: parse.TypeServerKeyExchange, Len: 296},
	"ticket": {Type: parse.TypeNewSessionTicket, Len: 200},
	"status": {Type: parse.TypeCertificateStatus, Len: 400},
	"ee":     {Type: parse.TypeEncryptedExtensions, Len: 15},
	"cv":     {Type: parse.TypeCertificateVerify, Len: 260},
	"fin":    {Type: parse.TypeFinished, Len: 32},
	"ccert":  {Type: parse.TypeCompressedCert, Len: 500},
	"shello": {Type: parse.TypeServerHello, Len: 80},
	"chello": {Type: parse.TypeClientHello, Len: 200},
}

func applyWord(t *testing.T, h *parse.Handshake, round *parse.Round, from parse.Side, at time.Duration, thing string) {
	t.Helper()
	base, options, _ := strings.Cut(thing, "+")
	base, gap := strings.CutSuffix(base, "!")
	opened, unsealed := strings.CutPrefix(base, "*")
	if unsealed {
		base = opened
		h.Keys = parse.KeysOpened
		h.Sides[from].Opened++
	}
	if m, ok := scriptMessages[base]; ok && (unsealed || base != "fin") {
		if m.Unsealed = unsealed; unsealed {
			m.Round = uint8(len(h.Rounds))
		}
		if m.Type == parse.TypeCertificateRequest && unsealed {
			h.Requests = append(h.Requests, &parse.CertificateRequest{At: h.Start.Add(at), From: from, Unsealed: true})
		}
		m.At, m.From, m.Gap = at, from, gap
		h.Messages = append(h.Messages, m)
		h.ClientKnown = true
		return
	}
	var typ, n int
	if k, _ := fmt.Sscanf(base, "%d/%d", &typ, &n); k == 2 {
		r := parse.Record{At: at, From: from, Type: parse.ContentType(typ), Len: uint16(n), Gap: gap}
		h.Sides[from].CCS = h.Sides[from].CCS || typ == 20
		if typ == 23 {
			h.Sides[from].AppData++
			h.Sides[from].AppBytes += int64(n)
		}
		if round != nil {
			round.Tape.Records = append(round.Tape.Records, r)
		}
		if round == nil || round.Kind == parse.PostHandshake { // which the first tape, while it has room, holds as well
			h.Tape.Records = append(h.Tape.Records, r)
		}
		return
	}
	switch {
	case base == "hello" || base == "hello12" || base == "hello13":
		applyHello(t, h, from, at, base, options)
	case base == "fin":
		h.Sides[from].FinAt = h.Start.Add(at)
		if !h.Sides[from.Other()].FinAt.IsZero() {
			h.End = parse.FIN
		}
	case base == "rst":
		h.End, h.EndFrom = parse.RST, from
	case base == "hidden":
		h.Sides[from].Hidden++
	case base == "unopened":
		h.Sides[from].Unopened++
	case base == "keys-failed":
		h.Sides[from].Unopened++
		h.Keys = parse.KeysFailed
	case base == "lost":
		h.Sides[from].Lost += 100
	case strings.HasPrefix(base, "alert"), strings.HasPrefix(base, "warn"):
		d, err := strconv.Atoi(strings.TrimLeft(base, "alertwn"))
		if err != nil {
			t.Fatalf("script: %q", thing)
		}
		h.Alerts = append(h.Alerts, parse.Alert{At: at, From: from, Fatal: base[0] == 'a', Description: uint8(d), Unsealed: unsealed})
	default:
		t.Fatalf("script: %q is nothing known", thing)
	}
}

func applyHello(t *testing.T, h *parse.Handshake, from parse.Side, at time.Duration, base, options string) {
	t.Helper()
	has := func(o string) bool {
		for x := range strings.SplitSeq(options, ",") {
			if x == o {
				return true
			}
		}
		return false
	}
	h.ClientKnown = true
	m := parse.Message{At: at, From: from, Type: parse.TypeClientHello, Len: 508}
	if base == "hello" {
		ch := &parse.ClientHello{
			At: h.Start.Add(at), ServerName: "portal.contoso.test", SessionID: []byte{1, 2, 3},
			Versions: []parse.Version{parse.TLS13, parse.TLS12},
			GREASE:   has("chromium"), ALPS: has("chromium"), PostHandshakeAuth: has("pha"), EarlyData: has("early"), PSK: has("psk"),
		}
		if has("firefox") {
			ch.Extensions = []uint16{34, 28}
		}
		if has("12only") {
			ch.Versions = ch.Versions[1:]
		}
		h.ClientHello = ch
	} else {
		m.Type = parse.TypeServerHello
		sh := &parse.ServerHello{At: h.Start.Add(at), Version: parse.TLS13, Cipher: 0x1301, PSK: has("psk")}
		switch {
		case has("sha384"):
			sh.Cipher = 0x1302
		case has("ccm8"):
			sh.Cipher = 0x1305
		}
		if base == "hello12" {
			sh.Version, sh.Cipher = parse.TLS12, 0xc02f // ECDHE_RSA_WITH_AES_128_GCM_SHA256
		}
		if has("echo") {
			sh.SessionID = []byte{1, 2, 3}
		}
		h.ServerHello = sh
	}
	h.Messages = append(h.Messages, m)
}

// shift moves a connection in time.
func shift(h *parse.Handshake, d time.Duration) {
	h.Start, h.Last = h.Start.Add(d), h.Last.Add(d)
	for i := range h.Sides {
		if !h.Sides[i].FinAt.IsZero() {
			h.Sides[i].FinAt = h.Sides[i].FinAt.Add(d)
		}
	}
}
