package parse

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// sayProxy1 writes a header of version 1 of the PROXY protocol (§2.1).
func sayProxy1(c Call) []byte {
	if !c.Source.IsValid() || !c.Dest.IsValid() {
		return []byte("PROXY UNKNOWN\r\n")
	}
	family := "TCP4"
	if !c.Source.Addr().Is4() || !c.Dest.Addr().Is4() {
		family = "TCP6"
	}
	return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family,
		c.Source.Addr(), c.Dest.Addr(), c.Source.Port(), c.Dest.Port())
}

// sayProxy2 writes a header of version 2 (§2.2).
func sayProxy2(c Call) []byte {
	b := []byte(proxy2Magic)
	switch {
	case !c.Source.IsValid() || !c.Dest.IsValid():
		return append(b, 0x20, 0, 0, 0) // LOCAL
	case c.Source.Addr().Is4() && c.Dest.Addr().Is4():
		b = append(b, 0x21, 0x11, 0, 12)
		b = append(append(b, c.Source.Addr().AsSlice()...), c.Dest.Addr().AsSlice()...)
	default:
		source, dest := c.Source.Addr().As16(), c.Dest.Addr().As16()
		b = append(append(append(b, 0x21, 0x21, 0, 36), source[:]...), dest[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, c.Source.Port())
	return binary.BigEndian.AppendUint16(b, c.Dest.Port())
}

// splitTarget splits host:port.
func splitTarget(target string) (host string, port uint16, ok bool) {
	i := strings.LastIndexByte(target, ':')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(target[i+1:], 10, 16)
	host = strings.TrimSuffix(strings.TrimPrefix(target[:i], "["), "]")
	return host, uint16(n), err == nil && host != "" && len(host) < 256
}

func saySocks5(c Call) []byte {
	host, port, ok := splitTarget(c.Target)
	if !ok {
		return nil
	}
	b := []byte{5, 1, 0}
	switch addr, err := netip.ParseAddr(host); {
	case err != nil:
		b = append(append(b, 3, byte(len(host))), host...)
	case addr.Is4():
		b = append(append(b, 1), addr.AsSlice()...)
	default:
		b = append(append(b, 4), addr.AsSlice()...)
	}
	return binary.BigEndian.AppendUint16(b, port)
}

// saySocks5Password names the user (RFC 1929 §2).
func saySocks5Password(c Call) []byte {
	if c.User == "" || len(c.User) > 255 || len(c.Password) > 255 {
		return nil
	}
	b := append([]byte{1, byte(len(c.User))}, c.User...)
	return append(append(b, byte(len(c.Password))), c.Password...)
}

func awaitSocks5Password(b []byte) (int, Reply) {
	switch {
	case len(b) > 0 && b[0] != 1:
		return 0, ReplyForeign
	case len(b) < 2:
		return 0, ReplyPending
	case b[1] != 0:
		return 2, ReplyRefused
	}
	return 2, ReplyGo
}

// awaitSocks5Method takes the choice of the one method that was offered.
func awaitSocks5Method(method byte) func([]byte) (int, Reply) {
	return func(b []byte) (int, Reply) {
		switch {
		case len(b) > 0 && b[0] != 5:
			return 0, ReplyForeign
		case len(b) < 2:
			return 0, ReplyPending
		case b[1] != method:
			return 2, ReplyRefused
		}
		return 2, ReplyGo
	}
}

func awaitSocks5(b []byte) (int, Reply) {
	if len(b) > 0 && b[0] != 5 {
		return 0, ReplyForeign
	}
	n := cutSocksAddress(b)
	switch {
	case n < 0:
		return 0, ReplyForeign
	case n == 0 || len(b) < n:
		return 0, ReplyPending
	case b[1] != 0:
		return n, ReplyRefused
	}
	return n, ReplyGo
}

// saySocks4 names an IPv4 address.
func saySocks4(c Call) []byte {
	host, port, ok := splitTarget(c.Target)
	addr, err := netip.ParseAddr(host)
	if !ok || err != nil || !addr.Is4() {
		return nil
	}
	b := binary.BigEndian.AppendUint16([]byte{4, 1}, port)
	return append(append(b, addr.AsSlice()...), 0)
}

// saySocks4a lets the proxy look the name up.
func saySocks4a(c Call) []byte {
	host, port, ok := splitTarget(c.Target)
	if !ok {
		return nil
	}
	b := binary.BigEndian.AppendUint16([]byte{4, 1}, port)
	b = append(b, 0, 0, 0, 1, 0)
	return append(append(b, host...), 0)
}

func awaitSocks4(b []byte) (int, Reply) {
	switch {
	case len(b) > 0 && b[0] != 0:
		return 0, ReplyForeign
	case len(b) < 8:
		return 0, ReplyPending
	case b[1] != 90:
		return 8, ReplyRefused
	}
	return 8, ReplyGo
}

// awaitPostgres takes the one byte of an answer to SSLRequest.
func awaitPostgres(b []byte) (int, Reply) {
	switch {
	case len(b) == 0:
		return 0, ReplyPending
	case b[0] == 'S':
		return 1, ReplyGo
	case b[0] == 'N' || b[0] == 'E':
		return 1, ReplyRefused
	}
	return 0, ReplyForeign
}

// awaitMySQL takes the greeting of protocol version 10, which says whether the
// server can do TLS.
func awaitMySQL(b []byte) (int, Reply) {
	n := cutMySQL(nil, Accepter, b)
	switch {
	case len(b) > 4 && b[4] == 0xff: // an error packet
		return len(b), ReplyRefused
	case len(b) > 4 && b[4] != 10 || n > maxReply || n == 4:
		return 0, ReplyForeign
	case n == 0 || len(b) < n:
		return 0, ReplyPending
	}
	version := strings.IndexByte(string(b[5:n]), 0)
	// Behind it: connection id, eight bytes, zero; then the lower capabilities.
	at := 5 + version + 1 + 4 + 8 + 1
	switch {
	case version < 0 || n < at+2:
		return 0, ReplyForeign
	case binary.LittleEndian.Uint16(b[at:])&mysqlClientSSL == 0:
		return n, ReplyRefused
	}
	return n, ReplyGo
}

// awaitLDAP takes an ExtendedResponse with the result code success.
func awaitLDAP(b []byte) (int, Reply) {
	if len(b) == 0 {
		return 0, ReplyPending
	}
	n := cutLDAP(nil, Accepter, b)
	switch {
	case n < 0 || n > maxReply:
		return 0, ReplyForeign
	case n == 0 || len(b) < n:
		return 0, ReplyPending
	}
	op, _ := ldapOp(b[:n])
	if len(op) == 0 || op[0] != 0x78 {
		return 0, ReplyForeign
	}
	_, head := berLength(op)
	if head <= 0 || len(op) < head+3 || op[head] != 10 || op[head+1] != 1 { // ENUMERATED of one byte
		return 0, ReplyForeign
	}
	if op[head+2] != 0 {
		return n, ReplyRefused
	}
	return n, ReplyGo
}

// awaitRDP takes a Connection Confirm with RDP_NEG_RSP that chose TLS in some
// form (MS-RDPBCGR §2.2.1.2.1).
func awaitRDP(b []byte) (int, Reply) {
	if len(b) == 0 {
		return 0, ReplyPending
	}
	n := cutTPKT(nil, Accepter, b)
	switch {
	case n < 0:
		return 0, ReplyForeign
	case n == 0 || len(b) < n:
		return 0, ReplyPending
	case b[5] != 0xd0:
		return 0, ReplyForeign
	case n < 19 || b[11] != 2 || binary.LittleEndian.Uint32(b[15:]) == 0:
		return n, ReplyRefused // RDP_NEG_FAILURE, or security of RDP's own
	}
	return n, ReplyGo
}

// tdsPrelogin is a packet with the options VERSION and ENCRYPTION, the latter
// ENCRYPT_ON (MS-TDS §2.2.6.5).
const tdsPrelogin = "\x12\x01\x00\x1a\x00\x00\x00\x00" +
	"\x00\x00\x0b\x00\x06" + "\x01\x00\x11\x00\x01" + "\xff" + "\x00\x00\x00\x00\x00\x00" + "\x01"

// awaitTDS takes the answer to PRELOGIN; where its ENCRYPTION is
// ENCRYPT_NOT_SUP, there is no TLS.
func awaitTDS(b []byte) (int, Reply) {
	if len(b) < tdsHeader {
		return 0, ReplyPending
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case !tdsPlausible(b, tdsTabular) || n > maxReply:
		return 0, ReplyForeign
	case len(b) < n:
		return 0, ReplyPending
	}
	payload := b[tdsHeader:n]
	for o := payload; len(o) >= 5 && o[0] != 0xff; o = o[5:] {
		at := int(binary.BigEndian.Uint16(o[1:]))
		if o[0] != 1 || at >= len(payload) {
			continue
		}
		if payload[at] == 2 { // ENCRYPT_NOT_SUP
			return n, ReplyRefused
		}
		return n, ReplyGo
	}
	return n, ReplyRefused
}
