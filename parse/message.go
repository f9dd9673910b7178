package parse

import "golang.org/x/crypto/cryptobyte"

// message reads one complete handshake message; body is borrowed.
func (d *direction) message(t HandshakeType, unsealed bool, body []byte) {
	c, fp := d.c, d.c.p.opts.Fingerprints
	e := Event{From: d.from}
	var malformed string
	switch t {
	case TypeClientHello:
		e.Kind = EventClientHello
		if e.ClientHello, malformed = parseClientHello(body, fp); e.ClientHello != nil {
			e.ClientHello.At = c.now
			c.p.marks.client(e.ClientHello, body)
			if ja4 := &e.ClientHello.JA4; c.h.QUIC != nil && *ja4 != "" {
				*ja4 = "q" + (*ja4)[1:]
			}
		}
	case TypeServerHello:
		var retry bool
		e.Kind = EventServerHello
		if e.ServerHello, retry, malformed = parseServerHello(body, fp); e.ServerHello != nil {
			e.ServerHello.At = c.now
			c.p.marks.server(e.ServerHello, body)
		}
		if retry {
			e.Kind = EventHelloRetryRequest
		}
	case TypeCertificateRequest:
		var v Version
		if c.h.ServerHello != nil {
			v = c.h.ServerHello.Version
		}
		e.Kind, e.Request = EventCertificateRequest, parseCertificateRequest(body, v)
		e.Request.At, e.Request.From, e.Request.Unsealed = c.now, d.from, unsealed
		malformed = e.Request.Malformed
	case TypeCertificate:
		var ders [][]byte
		e.Kind = EventCertificate
		ders, malformed = parseCertificateList(body)
		for _, der := range ders {
			e.Certificates = append(e.Certificates, c.p.certs.parse(der))
		}
	case TypeNewSessionTicket:
		if c.un != nil {
			c.un.ticket(body)
		}
		return
	case TypeEncryptedExtensions:
		e.Kind = EventEncryptedExtensions
		e.Text, malformed = parseEncryptedExtensions(body)
	default:
		return
	}
	if malformed != "" {
		c.malformed(d.from, malformed)
	}
	if e.Kind == EventClientHello && e.ClientHello == nil || e.ServerHello == nil &&
		(e.Kind == EventServerHello || e.Kind == EventHelloRetryRequest) {
		return
	}
	if e.Kind == EventClientHello || e.Kind == EventServerHello {
		c.hello(&e, body)
	}
	c.emit(e)
}

// parseEncryptedExtensions reads the body of EncryptedExtensions (RFC 8446
// §4.3.1) and returns the application protocol chosen, empty for none.
func parseEncryptedExtensions(body []byte) (alpn, malformed string) {
	s := cryptobyte.String(body)
	var extensions, data, list, name cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&extensions) || !s.Empty() {
		return "", "the length of EncryptedExtensions does not fit"
	}
	for !extensions.Empty() {
		var typ uint16
		if !extensions.ReadUint16(&typ) || !extensions.ReadUint16LengthPrefixed(&data) {
			return alpn, "an extension is cut short"
		}
		if typ != extALPN {
			continue
		}
		if !data.ReadUint16LengthPrefixed(&list) || !list.ReadUint8LengthPrefixed(&name) || !list.Empty() {
			return alpn, "extension 16 is malformed"
		}
		alpn = protocolName(name)
	}
	return alpn, ""
}
