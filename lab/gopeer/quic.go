package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
)

// quicProto is spoken over QUIC: the client says something, the server answers.
const quicProto = "whoasked-lab"

// quicVersion reads the name of a version.
func quicVersion(name string) []quic.Version {
	if name == "v2" {
		return []quic.Version{quic.Version2}
	}
	return []quic.Version{quic.Version1}
}

// quicServe is serve over QUIC, on one endpoint: mode is "none", "optional" or
// "required", followed by "+retry" if clients have to prove their address first.
func quicServe(address, pki, identity, clientCA, version, mode string) error {
	cert, err := load(pki, identity)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return err
	}
	mode, retry := strings.CutSuffix(mode, "+retry")
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{quicProto}, ClientCAs: x509.NewCertPool()}
	cfg.ClientCAs.AppendCertsFromPEM(pem)
	cfg.ClientAuth = map[string]tls.ClientAuthType{"optional": tls.VerifyClientCertIfGiven, "required": tls.RequireAndVerifyClientCert}[mode]
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	transport := &quic.Transport{Conn: udp, VerifySourceAddress: func(net.Addr) bool { return retry }}
	listener, err := transport.Listen(cfg, &quic.Config{Versions: quicVersion(version)})
	if err != nil {
		return err
	}
	for {
		c, err := listener.Accept(context.Background())
		if err != nil {
			return err
		}
		go quicAnswer(c)
	}
}

// quicAnswer sends what comes on the first stream back.
func quicAnswer(c *quic.Conn) {
	ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
	defer cancel()
	s, err := c.AcceptStream(ctx)
	if err != nil {
		return
	}
	_, _ = io.Copy(s, s)
	_ = s.Close()
	<-ctx.Done() // the client closes
}

// quicDial makes one connection and waits for an answer.
func quicDial(address, pki, identity, keyLog, sni, version string) error {
	keys, err := os.OpenFile(keyLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer keys.Close()
	cfg := &tls.Config{ServerName: sni, InsecureSkipVerify: true, NextProtos: []string{quicProto}, KeyLogWriter: keys}
	if identity != "-" {
		cert, err := load(pki, identity)
		if err != nil {
			return err
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := quic.DialAddr(ctx, address, cfg, &quic.Config{Versions: quicVersion(version)})
	if err != nil {
		return err
	}
	defer c.CloseWithError(0, "")
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(s, "hello"); err != nil {
		return err
	}
	_ = s.Close()
	b, err := io.ReadAll(s)
	if err == nil && string(b) != "hello" {
		err = fmt.Errorf("answer %q", b)
	}
	return err
}
