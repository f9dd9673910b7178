package parse

// message reads one complete handshake message; body is borrowed.
func (d *direction) message(t HandshakeType, body []byte) {
	c, fp := d.c, d.c.p.opts.Fingerprints
	e := Event{From: d.from}
	var malformed string
	switch t {
	case TypeClientHello:
		e.Kind = EventClientHello
		if e.ClientHello, malformed = parseClientHello(body, fp); e.ClientHello != nil {
			e.ClientHello.At = c.now
			if ja4 := &e.ClientHello.JA4; c.h.QUIC != nil && *ja4 != "" {
				*ja4 = "q" + (*ja4)[1:]
			}
		}
	case TypeServerHello:
		var retry bool
		e.Kind = EventServerHello
		if e.ServerHello, retry, malformed = parseServerHello(body, fp); e.ServerHello != nil {
			e.ServerHello.At = c.now
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
		e.Request.At, e.Request.From = c.now, d.from
		malformed = e.Request.Malformed
	case TypeCertificate:
		var ders [][]byte
		e.Kind = EventCertificate
		ders, malformed = parseCertificateList(body)
		for _, der := range ders {
			e.Certificates = append(e.Certificates, c.p.certs.parse(der))
		}
	}
	if malformed != "" {
		c.malformed(d.from, malformed)
	}
	if e.Kind == EventClientHello && e.ClientHello == nil || e.ServerHello == nil &&
		(e.Kind == EventServerHello || e.Kind == EventHelloRetryRequest) {
		return
	}
	c.emit(e)
}
