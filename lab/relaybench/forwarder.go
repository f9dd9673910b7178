package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// forwarder is a program that takes connections at one port of 127.0.0.1 to
// another.
type forwarder struct {
	name    string
	program string // how it is called on the path; empty for whoasked
	version []string
	// args are the command line from the port to listen at, the port to go to,
	// and a folder for files of its own.
	args func(b *bench, listen, to int, dir string) ([]string, error)
}

// forwarders are those that do not open TLS; the product first.
func forwarders() []forwarder {
	return []forwarder{
		{"whoasked relay", "", nil, func(b *bench, listen, to int, dir string) ([]string, error) {
			return b.relay(listen, to, dir), nil
		}},
		{"haproxy", "haproxy", []string{"-v"}, func(_ *bench, listen, to int, dir string) ([]string, error) {
			path, err := write(dir, "haproxy.cfg", fmt.Sprintf(`global
 maxconn %[3]d
 nbthread 1
defaults
 mode tcp
 timeout connect 10s
 timeout client 1h
 timeout server 1h
 option splice-auto
listen l
 bind 127.0.0.1:%[1]d
 server s 127.0.0.1:%[2]d
`, listen, to, maxConnections))
			return []string{"-db", "-f", path}, err
		}},
		{"nginx stream", "nginx", []string{"-v"}, func(_ *bench, listen, to int, dir string) ([]string, error) {
			load, err := streamModule()
			if err != nil {
				return nil, err
			}
			path, err := write(dir, "nginx.conf", fmt.Sprintf(`%[5]s
daemon off;
master_process off;
pid %[3]s/nginx.pid;
error_log stderr;
events { worker_connections %[4]d; }
stream {
 server {
  listen 127.0.0.1:%[1]d;
  ssl_preread on;
  proxy_pass 127.0.0.1:%[2]d;
  proxy_timeout 1h;
 }
}
`, listen, to, dir, 2*maxConnections, load))
			return []string{"-p", dir, "-e", "stderr", "-c", path}, err
		}},
		{"sniproxy", "sniproxy", []string{"-V"}, func(_ *bench, listen, to int, dir string) ([]string, error) {
			path, err := write(dir, "sniproxy.conf", fmt.Sprintf(`error_log {
 filename %s/error.log
}
listener 127.0.0.1:%d {
 protocol tls
 table t
}
table t {
 %s 127.0.0.1:%d
}
`, dir, listen, serverName, to))
			return []string{"-f", "-n", strconv.Itoa(2 * maxConnections), "-c", path}, err
		}},
		{"sslsplit tcp", "sslsplit", []string{"-V"}, func(_ *bench, listen, to int, _ string) ([]string, error) {
			return []string{"-u", "root", "tcp", "127.0.0.1", strconv.Itoa(listen), "127.0.0.1", strconv.Itoa(to)}, nil
		}},
	}
}

// openers are those that end TLS with a certificate of their own; the product
// first.
func openers() []forwarder {
	return []forwarder{
		{"whoasked relay --inspect", "", nil, func(b *bench, listen, to int, dir string) ([]string, error) {
			ca := filepath.Join(dir, "ca")
			if out, err := exec.Command(b.whoasked, "ca", "init", "--name", serverName, "--out", ca).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("whoasked ca init: %w\n%s", err, out)
			}
			path, err := write(dir, "server.pem", b.server.certificatePEM())
			return append(b.relay(listen, to, dir), "--inspect", serverName, "--ca", ca, "--upstream-ca", path), err
		}},
		{"sslsplit", "sslsplit", []string{"-V"}, func(b *bench, listen, to int, dir string) ([]string, error) {
			cert, key, err := authority(dir)
			return []string{"-u", "root", "-k", key, "-c", cert, "ssl", "127.0.0.1", strconv.Itoa(listen), "127.0.0.1", strconv.Itoa(to)}, err
		}},
		{"mitmproxy", "mitmdump", []string{"--version"}, func(_ *bench, listen, to int, dir string) ([]string, error) {
			return []string{"--set", "confdir=" + dir, "--quiet", "--ssl-insecure", "--listen-host", "127.0.0.1",
				"--listen-port", strconv.Itoa(listen), "--mode", fmt.Sprintf("reverse:https://127.0.0.1:%d/", to), "--set", "keep_host_header=true"}, nil
		}},
	}
}

// relay is the product's command line, with its limits out of the way. Each
// answer is written, as it would be.
func (b *bench) relay(listen, to int, dir string) []string {
	return []string{"relay", "--quiet", "--listen", fmt.Sprintf("127.0.0.1:%d", listen), "--to", fmt.Sprintf("127.0.0.1:%d", to),
		"--max-rate", "1000000", "--max-per-client", strconv.Itoa(maxConnections), "--max-connections", strconv.Itoa(maxConnections),
		"--keep-privileges", "--output", filepath.Join(dir, "relay.log")}
}

func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// errMissing is why a forwarder cannot be measured: it, or a part of it, is not
// installed.
var errMissing = errors.New("not installed")

// streamModule is the line by which nginx loads its stream module, empty where it
// is built in.
func streamModule() (string, error) {
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(module); err == nil {
		return "load_module " + module + ";", nil
	}
	built, err := exec.Command("nginx", "-V").CombinedOutput()
	if err != nil || !slices.Contains(strings.Fields(string(built)), "--with-stream") {
		return "", fmt.Errorf("its stream module is %w", errMissing)
	}
	return "", nil
}

// running is a forwarder at work.
type running struct {
	forwarder
	found string // its version
	addr  string
	out   *os.File
	group group
	ended chan struct{}
}

// start starts a forwarder and waits until it listens. It returns nil, and says
// so, where it is not installed.
func (b *bench) start(ctx context.Context, f forwarder) (*running, error) {
	program := b.whoasked
	if f.program != "" {
		var err error
		if program, err = exec.LookPath(f.program); err != nil {
			b.say("skipping %s: %v", f.name, errMissing)
			return nil, nil
		}
	}
	dir := filepath.Join(b.dir, strings.ReplaceAll(f.name, " ", "-"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	listen, err := freePort()
	if err != nil {
		return nil, err
	}
	to, err := b.server.listen()
	if err != nil {
		return nil, err
	}
	args, err := f.args(b, listen, to, dir)
	if errors.Is(err, errMissing) {
		b.say("skipping %s: %v", f.name, err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &running{
		forwarder: f, addr: fmt.Sprintf("127.0.0.1:%d", listen), found: versionOf(program, f.version), ended: make(chan struct{}),
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = attributes()
	if r.out, err = os.Create(filepath.Join(dir, "output")); err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = r.out, r.out
	if err := withSlack(b.slack, cmd.Start); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(r.ended)
	}()
	r.group = group(cmd.Process.Pid)
	if err := r.listens(); err != nil {
		said, _ := os.ReadFile(r.out.Name())
		r.stop()
		return nil, fmt.Errorf("%s %w:\n%s", f.name, err, said)
	}
	return r, nil
}

// listens waits until it does.
func (r *running) listens() error {
	limit := time.After(30 * time.Second)
	for {
		if c, err := net.Dial("tcp", r.addr); err == nil {
			return c.Close()
		}
		select {
		case <-r.ended:
			return errors.New("has ended")
		case <-limit:
			return errors.New("does not listen after 30 s")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *running) stop() {
	r.group.signal(syscall.SIGKILL)
	<-r.ended
	_ = r.out.Close()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// versionOf is the first number with a dot that a program prints when asked.
func versionOf(program string, args []string) string {
	if args == nil {
		return ""
	}
	out, _ := exec.Command(program, args...).CombinedOutput() // some print it and fail
	return regexp.MustCompile(`\d+\.\d+(\.\d+)*`).FindString(string(out))
}
