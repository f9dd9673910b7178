//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Job is what one client does with one endpoint: one connection, or two of
// which the second one tries to resume the session of the first one.
type Job struct {
	SNI      string // unique, so that it finds the connection in the capture
	Endpoint Endpoint
	Cert     Key // the client certificate to present; "" for none
	Resume   bool
	// Path is what to request; "" is "/".
	Path string
	// OfferPHA offers post-handshake authentication. curl always does; Go,
	// Java and Node never do.
	OfferPHA bool
	// Extra arguments for the clients that are processes of their own.
	Extra []string
}

func (j Job) path() string { return "/" + strings.TrimPrefix(j.Path, "/") }

// Result is what the client says about one connection.
type Result struct {
	SNI string
	Nth int // in its job, from 0
	// OK: the server sent application data.
	OK bool
	// Resumed is the client's word for it, not the lab's wish.
	Resumed bool
	// Detail is what the client printed.
	Detail string
}

// ClientSoftware is one row of the table of clients.
type ClientSoftware struct {
	Name  string
	Tools []string
	// Resumes: it can resume a session and say that it did.
	Resumes bool
	run     func(l *Lab, jobs []Job) []Result
}

// Clients returns the clients of the matrix that are not browsers.
func Clients() []ClientSoftware {
	return []ClientSoftware{
		{Name: "curl", Tools: []string{"curl"}, run: each(runCurl)},
		{Name: "openssl", Tools: []string{"openssl"}, Resumes: true, run: each(runOpenSSL)},
		{Name: "gnutls", Tools: []string{"gnutls-cli"}, Resumes: true, run: each(runGnuTLS)},
		{Name: "nss", Tools: []string{"tstclnt", "certutil", "pk12util"}, run: runNSS},
		{Name: "go", Tools: []string{"go"}, Resumes: true, run: runGo},
		{Name: "java", Tools: []string{"java"}, Resumes: true, run: runJava},
		{Name: "node", Tools: []string{"node"}, Resumes: true, run: runNode},
	}
}

// Run does the jobs and returns a result for every connection.
func (c ClientSoftware) Run(l *Lab, jobs []Job) []Result {
	l.T.Helper()
	return c.run(l, jobs)
}

// KeyLog is the file where clients that can write their TLS secrets.
func (l *Lab) KeyLog() string { return filepath.Join(l.Dir, "keys.log") }

// clientIdentity returns the certificate of a job; nil for none.
func (l *Lab) clientIdentity(j Job) *Identity {
	switch j.Cert {
	case RSA:
		return &l.PKI.ClientRSA
	case EC:
		return &l.PKI.ClientEC
	}
	return nil
}

// each makes a runner from a function that does one job with one process,
// two at a time.
func each(one func(*Lab, Job) []Result) func(*Lab, []Job) []Result {
	return func(l *Lab, jobs []Job) []Result {
		results := make([][]Result, len(jobs))
		slots := make(chan struct{}, 2)
		var all sync.WaitGroup
		for i, j := range jobs {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				results[i] = one(l, j)
			})
		}
		all.Wait()
		var flat []Result
		for _, r := range results {
			flat = append(flat, r...)
		}
		return flat
	}
}

// httpRequest is what clients without HTTP of their own send.
func httpRequest(j Job) string { return "GET " + j.path() + " HTTP/1.0\r\nHost: " + j.SNI + "\r\n\r\n" }

// invoke runs a client in its namespace to its end, 20 seconds at most, and
// returns what it wrote. Its exit status says nothing we need. Standard input
// stays open behind stdin: some clients would close the connection at its end.
func (l *Lab) invoke(stdin string, name string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := l.Net.Client.Command(name, args...)
	cmd.Env = append(os.Environ(), "SSLKEYLOGFILE="+l.KeyLog())
	r, w, err := os.Pipe()
	if err != nil {
		return "not started: " + err.Error()
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.WriteString(stdin); err != nil { // less than a pipe holds
		return "not started: " + err.Error()
	}
	cmd.Stdin = r
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "not started: " + err.Error()
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	_ = cmd.Wait()
	if ctx.Err() != nil {
		out.WriteString("\nkilled after 20 seconds")
	}
	return out.String()
}

func runCurl(l *Lab, j Job) []Result {
	url := fmt.Sprintf("https://%s:%d%s", j.SNI, j.Endpoint.Port, j.path())
	args := []string{"-sSk", "--http1.1", "--noproxy", "*", "-o", "/dev/null", "-w", "status %{http_code}", url,
		"--resolve", fmt.Sprintf("%s:%d:%s", j.SNI, j.Endpoint.Port, l.Net.Server.Addr)}
	if id := l.clientIdentity(j); id != nil {
		args = append(args, "--cert", id.Cert, "--key", id.Key)
	}
	out := l.invoke("", "curl", append(args, j.Extra...)...)
	_, status, _ := strings.Cut(out, "status ")
	return []Result{{SNI: j.SNI, OK: status != "" && status != "000", Detail: out}}
}

func runOpenSSL(l *Lab, j Job) []Result {
	args := []string{"s_client", "-connect", l.address(j.Endpoint), "-servername", j.SNI, "-ign_eof", "-keylogfile", l.KeyLog()}
	if id := l.clientIdentity(j); id != nil {
		args = append(args, "-cert", id.Cert, "-key", id.Key)
	}
	if j.OfferPHA {
		args = append(args, "-enable_pha")
	}
	args = append(args, j.Extra...)
	session := filepath.Join(l.Dir, j.SNI+".session")
	rounds := [][]string{args}
	if j.Resume {
		rounds = [][]string{append(args[:len(args):len(args)], "-sess_out", session), append(args[:len(args):len(args)], "-sess_in", session)}
	}
	var results []Result
	for i, args := range rounds {
		out := l.invoke(httpRequest(j), "openssl", args...)
		results = append(results, Result{SNI: j.SNI, Nth: i, OK: strings.Contains(out, "HTTP/1."),
			Resumed: strings.Contains(out, "\nReused, TLS"), Detail: out})
	}
	return results
}

func runGnuTLS(l *Lab, j Job) []Result {
	logFile := filepath.Join(l.Dir, j.SNI+".log")
	args := []string{"--insecure", "--sni-hostname", j.SNI, "--logfile", logFile,
		"--port", fmt.Sprint(j.Endpoint.Port)}
	if id := l.clientIdentity(j); id != nil {
		args = append(args, "--x509certfile", id.Cert, "--x509keyfile", id.Key)
	}
	if j.Resume {
		args = append(args, "--resume", "--waitresumption")
	}
	if j.OfferPHA {
		args = append(args, "--post-handshake-auth")
	}
	args = append(args, j.Extra...)
	out := l.invoke(httpRequest(j), "gnutls-cli", append(args, l.Net.Server.Addr.String())...)
	// An absent log file means a client that ended early; out tells.
	log, _ := os.ReadFile(logFile)
	out += string(log)
	last := Result{SNI: j.SNI, OK: strings.Contains(out, "HTTP/1."), Detail: out,
		Resumed: strings.Contains(out, "*** This is a resumed session")}
	if !j.Resume {
		return []Result{last}
	}
	// It asks for the page on the second connection only.
	last.Nth = 1
	return []Result{{SNI: j.SNI, OK: last.OK, Detail: "first of two"}, last}
}

// runNSS presents a certificate by its nickname; without -n tstclnt would take
// any from the database, so that jobs without one use an empty database. -O:
// its asynchronous choice of a certificate races against its own request.
func runNSS(l *Lab, jobs []Job) []Result {
	full, empty := l.dir("nss-client"), l.dir("nss-client-empty")
	l.PKI.NSS(l.T, full, nil, l.PKI.ClientRSA, l.PKI.ClientEC)
	l.PKI.NSS(l.T, empty, nil)
	return each(func(l *Lab, j Job) []Result {
		request := filepath.Join(l.Dir, j.SNI+".request")
		if err := os.WriteFile(request, []byte(httpRequest(j)), 0o644); err != nil {
			return []Result{{SNI: j.SNI, Detail: err.Error()}}
		}
		args := []string{"-h", l.Net.Server.Addr.String(), "-p", fmt.Sprint(j.Endpoint.Port), "-a", j.SNI, "-o", "-O", "-A", request, "-d"}
		if id := l.clientIdentity(j); id != nil {
			args = append(args, "sql:"+full, "-n", id.Name)
		} else {
			args = append(args, "sql:"+empty)
		}
		if j.OfferPHA {
			args = append(args, "-E")
		}
		out := l.invoke("", "tstclnt", append(args, j.Extra...)...)
		return []Result{{SNI: j.SNI, OK: strings.Contains(out, "HTTP/1."), Detail: out}}
	})(l, jobs)
}

func runGo(l *Lab, jobs []Job) []Result {
	return l.driveClient(jobs, l.goPeer(), "dial", l.Net.Server.Addr.String(), l.PKI.Dir, l.KeyLog())
}

func runJava(l *Lab, jobs []Job) []Result {
	return l.driveClient(jobs, "java", append(javaArgs(), "testdata/JsseClient.java",
		l.Net.Server.Addr.String(), l.PKI.Dir, Password)...)
}

func runNode(l *Lab, jobs []Job) []Result {
	return l.driveClient(jobs, "node", "testdata/client.js", l.Net.Server.Addr.String(), l.PKI.Dir, l.KeyLog())
}

// driveClient runs a client of our own that does all jobs in one process: it
// reads "sni port connections identity path" lines and writes "sni nth ok|failed
// resumed|full detail" lines.
func (l *Lab) driveClient(jobs []Job, name string, args ...string) []Result {
	l.T.Helper()
	var in strings.Builder
	for _, j := range jobs {
		n, cert := 1, "-"
		if j.Resume {
			n = 2
		}
		if id := l.clientIdentity(j); id != nil {
			cert = id.Name
		}
		fmt.Fprintln(&in, j.SNI, j.Endpoint.Port, n, cert, j.path())
	}
	cmd := l.Net.Client.Command(name, args...)
	cmd.Stdin = strings.NewReader(in.String())
	var out bytes.Buffer
	cmd.Stdout = &out
	p := Start(l.T, cmd)
	select {
	case <-p.Done():
	case <-time.After(3 * time.Minute):
		p.Stop()
		l.T.Errorf("%s was not done in three minutes: %s", name, p.Output())
	}
	var results []Result
	for line := range strings.Lines(out.String()) {
		var r Result
		var ok, resumed string
		if _, err := fmt.Sscan(line, &r.SNI, &r.Nth, &ok, &resumed); err != nil {
			l.T.Errorf("%s wrote %q", name, line)
			continue
		}
		r.OK, r.Resumed, r.Detail = ok == "ok", resumed == "resumed", strings.TrimSpace(line)
		results = append(results, r)
	}
	return results
}

// address is host:port of an endpoint.
func (l *Lab) address(e Endpoint) string { return fmt.Sprintf("%s:%d", l.Net.Server.Addr, e.Port) }
