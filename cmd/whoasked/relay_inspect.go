package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"whoasked/capture/probe"
	"whoasked/capture/relay"
	"whoasked/capture/relay/inspect"
	"whoasked/config"
)

// onRequest are the words of --on-request.
var onRequest = map[string]inspect.Choice{
	"none": inspect.AnswerNone, "certificate": inspect.AnswerCertificate, "mirror": inspect.Mirror, "pass": inspect.Pass,
}

// inspectTLS is how TLS is ended, nil if it is not. Secrets go to keys.
func inspectTLS(c *config.Relay, keys func(line []byte), t *terminal) (*relay.Inspect, error) {
	if err := checkInspect(c); err != nil || len(c.Inspect) == 0 {
		return nil, err
	}
	o := inspect.Options{OnRequest: onRequest[c.OnRequest]}
	for _, d := range c.Inspect {
		name, err := inspect.Domain(d)
		if err != nil {
			return nil, fmt.Errorf("--inspect: %w", err)
		}
		o.Domains = append(o.Domains, name)
	}
	var err error
	if o.CA, err = inspect.LoadCA(c.CA, time.Now()); err != nil {
		return nil, caHint(err, c)
	}
	if c.ClientCert != "" {
		if o.Certificate, err = probe.LoadCertificate(c.ClientCert, c.ClientKey); err != nil {
			return nil, fmt.Errorf("--client-cert: %w", err)
		}
	}
	if o.Roots, err = upstreamRoots(c.UpstreamCA); err != nil {
		return nil, err
	}
	if c.WriteKeylog != "" {
		if o.KeyLog, err = openSecretLog(c.WriteKeylog, t); err != nil {
			return nil, err
		}
	}
	inspector, err := inspect.New(o)
	if err != nil {
		return nil, withHint(fmt.Errorf("--inspect: %w", err), "whoasked ca init --name %s makes one that is, with --out in a folder of its own", strings.Join(o.Domains, ","))
	}
	// Said even where only errors are wanted.
	t.say("warning", fmt.Sprintf("TLS to %s and below is ended here on purpose: this program reads what passes there; clients see certificates of %q",
		strings.Join(o.Domains, ", "), o.CA.Cert.Subject.CommonName), "")
	return &relay.Inspect{Inspector: inspector, Fail: c.OnFailure == "fail", Keys: keys}, nil
}

// checkInspect refuses settings that have no effect, or not the wanted one.
func checkInspect(c *config.Relay) error {
	if len(c.Inspect) == 0 {
		if c.OnRequest != "none" || c.OnFailure != "pass" || c.CA+c.ClientCert+c.ClientKey+c.UpstreamCA+c.WriteKeylog != "" {
			return withHint(errors.New("--ca, --on-request, --on-failure, --client-cert, --client-key, --upstream-ca and --write-keylog are about --inspect, which is not given"),
				"name the domains to look into: --inspect contoso.test --ca FOLDER")
		}
		return nil
	}
	switch {
	case c.CA == "":
		return withHint(errors.New("--inspect needs an authority"), "make one: whoasked ca init --name %s; then --ca whoasked-ca", strings.Join(c.Inspect, ","))
	case c.OnRequest == "certificate" && c.ClientCert == "":
		return withHint(errors.New("--on-request certificate needs one"), "--client-cert FILE --client-key FILE")
	case c.OnRequest != "certificate" && c.ClientCert+c.ClientKey != "":
		return withHint(errors.New("--client-cert is only used with --on-request certificate"), "--on-request certificate answers servers with it")
	}
	return nil
}

// caHint says what may help where an authority cannot be used.
func caHint(err error, c *config.Relay) error {
	err = fmt.Errorf("--ca: %w", err)
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "make it: whoasked ca init --name %s --out %s", strings.Join(c.Inspect, ","), c.CA)
	}
	return withHint(err, "make another one: whoasked ca init --name %s --out FOLDER", strings.Join(c.Inspect, ","))
}

// upstreamRoots are the authorities that the system trusts, and those in a file.
func upstreamRoots(file string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // nobody is trusted, and that is told with each server
	}
	if file == "" {
		return roots, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--upstream-ca: %w", err)
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("--upstream-ca: %s holds no certificate in PEM", file)
	}
	return roots, nil
}

// secretLog is a key log that is written. What cannot be written is told once and
// does no harm to connections.
type secretLog struct {
	file *os.File
	t    *terminal
	once sync.Once
}

// openSecretLog opens a key log that only its owner can read.
func openSecretLog(name string, t *terminal) (io.Writer, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--write-keylog: %w", err)
	}
	info, err := f.Stat()
	if err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		err = withHint(fmt.Errorf("%s can be read by others (mode %04o)", name, info.Mode().Perm()), "chmod 600 %s", name)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &secretLog{file: f, t: t}, nil
}

func (l *secretLog) Write(line []byte) (int, error) {
	if _, err := l.file.Write(line); err != nil {
		l.once.Do(func() { l.t.warn("secrets are missing in the key log: " + err.Error()) })
	}
	return len(line), nil
}
