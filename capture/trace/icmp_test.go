package trace

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// unhex reads hexadecimal digits, spaces left out.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A SYN from 198.18.0.1:50000 to 198.18.3.2:443, and the same by IPv6.
const (
	syn4 = "4500 003c 1234 4000 0106 0000 c612 0001 c612 0302"
	syn6 = "6000 0000 0028 06 01 2001 0db8 0000 0000 0000 0000 0000 0001 2001 0db8 0003 0000 0000 0000 0000 0002"
	tcp8 = "c350 01bb 0000 0001"
)

func TestParseICMP(t *testing.T) {
	for _, tt := range []struct {
		name, hex string
		v6        bool
		want      string // source and destination; empty if it is none
	}{
		{name: "Time Exceeded", hex: "0b00 0000 0000 0000" + syn4 + tcp8, want: "198.18.0.1:50000 198.18.3.2:443"},
		{name: "ports and no more", hex: "0b00 0000 0000 0000" + syn4 + "c350 01bb", want: "198.18.0.1:50000 198.18.3.2:443"},
		{name: "half a port", hex: "0b00 0000 0000 0000" + syn4 + "c350 01"},
		{name: "IP options", hex: "0b00 0000 0000 0000 4600 0040 1234 4000 0106 0000 c612 0001 c612 0302 0101 0100" + tcp8, want: "198.18.0.1:50000 198.18.3.2:443"},
		{name: "IP options cut", hex: "0b00 0000 0000 0000 4f00 0040 1234 4000 0106 0000 c612 0001 c612 0302" + tcp8},
		{name: "header too short", hex: "0b00 0000 0000 0000 4400 003c 1234 4000 0106 0000 c612 0001 c612 0302" + tcp8},
		{name: "a later fragment", hex: "0b00 0000 0000 0000 4500 003c 1234 0001 0106 0000 c612 0001 c612 0302" + tcp8},
		{name: "UDP", hex: "0303 0000 0000 0000 4500 003c 1234 4000 0111 0000 c612 0001 c612 0302" + tcp8, want: "198.18.0.1:50000 198.18.3.2:443"},
		{name: "a ping", hex: "0b00 0000 0000 0000 4500 003c 1234 4000 0101 0000 c612 0001 c612 0302" + tcp8},
		{name: "echo reply", hex: "0000 0000 0000 0000" + syn4 + tcp8},
		{name: "fragment reassembly", hex: "0b01 0000 0000 0000" + syn4 + tcp8},
		{name: "nothing"},
		{name: "IPv6", v6: true, hex: "0300 0000 0000 0000" + syn6 + tcp8, want: "[2001:db8::1]:50000 [2001:db8:3::2]:443"},
		{name: "IPv6 cut", v6: true, hex: "0300 0000 0000 0000 6000"},
		{name: "IPv4 in ICMPv6", v6: true, hex: "0300 0000 0000 0000" + syn4 + tcp8 + syn4},
		{name: "IPv6 in ICMP", hex: "0b00 0000 0000 0000" + syn6 + tcp8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, ok := parseICMP(tt.v6, unhex(t, tt.hex))
			got := ""
			if ok {
				got = q.src.String() + " " + q.dst.String()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOutcomeOf(t *testing.T) {
	for _, tt := range []struct {
		v6         bool
		kind, code uint8
		want       Outcome
		port, ok   bool
	}{
		{false, 11, 0, Expired, false, true},
		{false, 11, 1, Silent, false, false},
		{false, 3, 3, Unreachable, true, true},
		{false, 3, 13, Unreachable, false, true},
		{false, 8, 0, Silent, false, false},
		{true, 3, 0, Expired, false, true},
		{true, 3, 1, Silent, false, false},
		{true, 1, 4, Unreachable, true, true},
		{true, 1, 3, Unreachable, false, true},
		{true, 11, 0, Silent, false, false},
	} {
		if o, port, ok := outcomeOf(tt.v6, tt.kind, tt.code); o != tt.want || port != tt.port || ok != tt.ok {
			t.Errorf("%+v: got %v %v %v", tt, o, port, ok)
		}
	}
}

// FuzzParseICMP: what is read of a message is in it, and more of the packet that
// it quotes changes nothing.
func FuzzParseICMP(f *testing.F) {
	for _, s := range []string{"0b00 0000 0000 0000" + syn4 + tcp8, "0303 0000 0000 0000" + syn4 + tcp8} {
		f.Add(false, unhex(f, s))
	}
	f.Add(true, unhex(f, "0300 0000 0000 0000"+syn6+tcp8))
	f.Fuzz(func(t *testing.T, v6 bool, b []byte) {
		q, ok := parseICMP(v6, b)
		if !ok {
			if q != (quote{}) {
				t.Errorf("nothing is quoted, but %+v", q)
			}
			return
		}
		for _, a := range []netip.AddrPort{q.src, q.dst} {
			if !bytes.Contains(b, a.Addr().AsSlice()) || a.Addr().Is6() != v6 {
				t.Errorf("%v is not in %x", a, b)
			}
		}
		if more, ok := parseICMP(v6, append(bytes.Clone(b), 1, 2, 3)); !ok || more != q {
			t.Errorf("three bytes more turn %+v into %+v", q, more)
		}
	})
}
