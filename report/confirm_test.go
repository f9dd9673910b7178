package report

import (
	"whoasked/attribute"
	"whoasked/parse"
)

// itself makes what came of asking an endpoint itself.
func itself(answer attribute.Answer, because string, edits ...func(*attribute.Confirmation)) *attribute.Confirmation {
	c := &attribute.Confirmation{At: after(90), Asked: answer, Because: []string{because}, Version: "TLS 1.3", ALPN: "h2", Hello: "chrome"}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

// confirmedScene has one endpoint for each way a probe can stand to the traffic.
func confirmedScene() scene {
	read := func(c *attribute.Confirmation) {
		c.Request = &parse.CertificateRequest{
			Authorities: []string{"CN=Client CA 1,O=Contoso Ltd.,C=CH"}, SignatureAlgorithms: []uint16{0x0804}, Extensions: []uint16{13, 47},
		}
	}
	requested := func(c *attribute.Connection) {
		asked(attribute.Inferred, attribute.ReplyEmpty, 1, 2, emptyEvidence)(c)
	}
	const opened = "request-unsealed: a CertificateRequest was opened with the session's keys"
	const clear = "server-flight-unsealed: the server's flight was opened with keys, and holds no CertificateRequest"
	return scene{
		name: "confirmed",
		conns: []*attribute.Connection{
			conn(1, edge, contoso, parse.TLS13, requested),
			conn(3, gateway, contoso, parse.TLS13, requested, hop("gateway")),
			conn(5, other, "tells.contoso.test", parse.TLS13, cutOff, hop("gateway")),
			conn(7, other, "clear.contoso.test", parse.TLS13, resumed),
			conn(9, other, "some.contoso.test", parse.TLS13, requested),
			conn(11, other, "some.contoso.test", parse.TLS13, finished),
			conn(13, other, "silent.contoso.test", parse.TLS13, cutOff),
		},
		probes: map[string]*attribute.Confirmation{
			edge + contoso:                itself(attribute.Yes, opened, read),
			gateway + contoso:             itself(attribute.No, clear),
			other + "tells.contoso.test":  itself(attribute.Yes, opened, read),
			other + "clear.contoso.test":  itself(attribute.No, clear),
			other + "some.contoso.test":   itself(attribute.No, clear),
			other + "silent.contoso.test": itself(attribute.Unknown, "connect: no answer in time"),
		},
		text: TextOptions{Rows: 4},
	}
}
