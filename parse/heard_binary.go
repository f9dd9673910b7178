package parse

import (
	"bytes"
	"encoding/binary"
)

// Databases, LDAP and RDP: messages with a length in front.

// PostgreSQL, "Message Formats": SSLRequest and GSSENCRequest, each answered by
// one byte.
const (
	postgresSSLRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	postgresGSSRequest = "\x00\x00\x00\x08\x04\xd2\x16\x30"
)

func startsPostgres(from Side, b []byte) sign {
	if from == Accepter {
		return signNo
	}
	return startsWith(b, postgresSSLRequest, postgresGSSRequest)
}

func cutPostgres(_ *listener, from Side, b []byte) int {
	switch {
	case from == Accepter:
		return 1
	case len(b) < 8:
		return 0
	case string(b[:8]) == postgresSSLRequest || string(b[:8]) == postgresGSSRequest:
		return 8
	}
	return -1 // the session goes on in the clear
}

func takePostgres(_ *listener, from Side, b []byte) turn {
	if from == Accepter && b[0] != 'S' && b[0] != 'N' {
		return turnDeaf // GSSAPI encryption, or an error message
	}
	return turnDue
}

// MySQL, "Client/Server Protocol": packets with a length of three bytes, least
// significant first, and a sequence number.
const (
	mysqlClientSSL = 1 << 11
	// mysqlSSLRequest asks for CLIENT_PROTOCOL_41, CLIENT_SSL and
	// CLIENT_SECURE_CONNECTION, packets up to 16 MiB, utf8mb4.
	mysqlSSLRequest = "\x20\x00\x00\x01" + "\x00\x8a\x00\x00" + "\x00\x00\x00\x01" + "\x2d" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// startsMySQL takes the server's greeting, protocol version 10, or a client's
// SSLRequest.
func startsMySQL(from Side, b []byte) sign {
	head := []byte{0, 0, 10} // third length byte, sequence number, version
	if from == Opener {
		head = []byte{0, 1}
	}
	for i, want := range head {
		if len(b) > 2+i && b[2+i] != want {
			return signNo
		}
	}
	if from == Opener && (b[0] != 32 || len(b) > 1 && b[1] != 0) {
		return signNo
	}
	if len(b) < 6 {
		return signNeedMore
	}
	if from == Opener && !mysqlWantsSSL(b) || from == Accepter && (b[5] < '0' || b[5] > '9') {
		return signNo // the version of the server is digits
	}
	return signYes
}

func mysqlWantsSSL(b []byte) bool {
	return len(b) >= 6 && binary.LittleEndian.Uint16(b[4:])&mysqlClientSSL != 0
}

func cutMySQL(_ *listener, _ Side, b []byte) int {
	if len(b) < 4 {
		return 0
	}
	return 4 + (int(b[0]) | int(b[1])<<8 | int(b[2])<<16)
}

func takeMySQL(_ *listener, from Side, b []byte) turn {
	if from == Opener && !mysqlWantsSSL(b) {
		return turnDeaf // it logs in without TLS
	}
	return turnDue
}

// LDAP (RFC 4511): BER, one LDAPMessage after the other.
const (
	ldapOID = "1.3.6.1.4.1.1466.20037" // StartTLS (§4.14)
	// ldapStartTLS is message 1, an ExtendedRequest with the name alone.
	ldapStartTLS = "\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + ldapOID
)

// berLength reads the length behind a tag and returns it with the size of tag
// and length: 0 if more bytes are needed, negative if it is none of LDAP.
func berLength(b []byte) (length, head int) {
	if len(b) < 2 {
		return 0, 0
	}
	n := int(b[1])
	if n < 0x80 {
		return n, 2
	}
	n &= 0x7f
	if n == 0 || n > 4 {
		return 0, -1
	}
	if len(b) < 2+n {
		return 0, 0
	}
	for _, c := range b[2 : 2+n] {
		length = length<<8 | int(c)
	}
	if length > 16<<20 {
		return 0, -1
	}
	return length, 2 + n
}

// ldapOp returns the tag of the operation and what follows it, nil if b is too
// short or no LDAPMessage; ok is false for the latter.
func ldapOp(b []byte) (op []byte, ok bool) {
	if b[0] != 0x30 {
		return nil, false
	}
	_, head := berLength(b)
	if head < 0 || head > 0 && len(b) > head && b[head] != 2 {
		return nil, false
	}
	if head == 0 || len(b) < head+2 {
		return nil, true
	}
	id := int(b[head+1])
	if id < 1 || id > 4 {
		return nil, false
	}
	if len(b) <= head+2+id {
		return nil, true
	}
	return b[head+2+id:], true
}

func startsLDAP(_ Side, b []byte) sign {
	op, ok := ldapOp(b)
	switch {
	case !ok:
		return signNo
	case op == nil:
		return signNeedMore
	case op[0]>>6 != 1: // the class of all operations is APPLICATION
		return signNo
	}
	return signYes
}

func cutLDAP(_ *listener, _ Side, b []byte) int {
	if b[0] != 0x30 {
		return -1
	}
	length, head := berLength(b)
	if head <= 0 {
		return head
	}
	return head + length
}

func takeLDAP(_ *listener, _ Side, b []byte) turn {
	op, _ := ldapOp(b)
	if len(op) > 0 && (op[0] == 0x77 && bytes.Contains(op, []byte(ldapOID)) || op[0] == 0x78) {
		return turnDue // ExtendedRequest, ExtendedResponse
	}
	return turnStay
}

// RDP: X.224 in TPKT (RFC 1006 §6; MS-RDPBCGR §2.2.1.1).

// rdpConnect is a Connection Request that offers TLS and CredSSP.
const rdpConnect = "\x03\x00\x00\x13" + "\x0e\xe0\x00\x00\x00\x00\x00" + "\x01\x00\x08\x00\x03\x00\x00\x00"

// startsTPKT takes a Connection Request or Confirm.
func startsTPKT(from Side, b []byte) sign {
	pdu := byte(0xe0)
	if from == Accepter {
		pdu = 0xd0
	}
	switch {
	case b[0] != 3 || len(b) > 1 && b[1] != 0 || len(b) > 5 && b[5] != pdu:
		return signNo
	case len(b) < 6:
		return signNeedMore
	}
	return signYes
}

func cutTPKT(_ *listener, _ Side, b []byte) int {
	switch {
	case b[0] != 3:
		return -1
	case len(b) < 4:
		return 0
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 7 {
		return -1
	}
	return n
}

func takeTPKT(*listener, Side, []byte) turn { return turnDue }
