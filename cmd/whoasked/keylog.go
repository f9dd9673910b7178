package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/config"
	"whoasked/parse"
)

// keyLogs is what opens sealed handshakes: key logs in files, and those in
// captures.
type keyLogs struct {
	keys    *parse.Keys
	files   []*keyLogFile
	lasting bool      // see last
	looked  time.Time // when follow last looked at the files
}

const (
	// lastingKeyBytes bounds the memory of secrets in a run without an end, where
	// they are of use only around the time of their connection: some 15,000
	// connections at least.
	lastingKeyBytes = 8 << 20
	// keysEvery is how often a key log is looked at while packets come: programs
	// write a secret just before they use it.
	keysEvery = 20 * time.Millisecond
)

// last has secrets kept as a run without an end needs them: records wait a little
// for those still to be written, and old ones are forgotten.
func (k *keyLogs) last() {
	k.lasting, k.keys.Limit = true, lastingKeyBytes
	k.keys.Growing = len(k.files) > 0
}

// follow reads what was written to the files, if it has not done so just before or
// it is the last chance.
func (k *keyLogs) follow(now time.Time, last bool) {
	if k != nil && len(k.files) > 0 && (last || now.Sub(k.looked) >= keysEvery) {
		k.looked = now
		_ = k.update() // a log that is gone for a while may come back
	}
}

// openKeyLogs reads the key logs that the settings name.
func openKeyLogs(c *config.Config) (*keyLogs, error) {
	k := &keyLogs{keys: parse.NewKeys()}
	for _, name := range c.Keylog {
		k.files = append(k.files, &keyLogFile{name: name, log: k.keys.Log()})
	}
	return k, k.update()
}

// update reads what has been written to the files since the last time.
func (k *keyLogs) update() error {
	for _, f := range k.files {
		if err := f.update(); err != nil {
			return err
		}
	}
	return nil
}

// keyLogFile is a key log in a file that may still grow, as long as the program
// that it belongs to runs.
type keyLogFile struct {
	name   string
	log    *parse.KeyLog
	offset int64 // what is in front of it was read
}

// update reads on from where it stopped. A line without an end is taken as far
// as it makes sense, and completed the next time. A file that has become
// shorter was begun anew.
func (k *keyLogFile) update() error {
	f, err := os.Open(k.name)
	if err != nil {
		return keyLogError(k.name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return keyLogError(k.name, err)
	}
	if info.Mode().IsRegular() {
		if info.Size() < k.offset {
			k.log.Write([]byte{'\n'})
			k.offset = 0
		}
		if head := make([]byte, 4); k.offset == 0 {
			if n, _ := f.ReadAt(head, 0); file.IsCapture(head[:n]) {
				return withHint(fmt.Errorf("key log %s: is a packet capture", k.name), "name it without --keylog; secrets in a pcapng file are used by themselves")
			}
		}
		if _, err := f.Seek(k.offset, io.SeekStart); err != nil {
			return keyLogError(k.name, err)
		}
	} else if k.offset > 0 {
		return nil // a pipe gives what it has once
	}
	n, err := io.Copy(k.log, f)
	k.offset += n
	k.log.Flush()
	if err != nil {
		return keyLogError(k.name, err)
	}
	return nil
}

// keyLogError says why a key log cannot be read. It tells nothing of what is in
// the file.
func keyLogError(name string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err // the name is said already
	}
	text := fmt.Errorf("key log %s: %w", name, err)
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(text, "browsers and curl write it if SSLKEYLOGFILE names it when they start")
	}
	return text
}

// hintKeyLog tells of a key log that is being written but was not given. It is
// never read unasked: it opens everything else on the machine, too.
func hintKeyLog(c *config.Config, t *terminal) {
	name := os.Getenv("SSLKEYLOGFILE")
	if name == "" || len(c.Keylog) > 0 || c.Quiet {
		return
	}
	t.say("note", "SSLKEYLOGFILE is set, but key logs are read only if they are named", fmt.Sprintf("--keylog %s opens the handshakes that TLS seals", name))
}

// notes tells what the key logs were good for.
func (k *keyLogs) notes(opened, failed int64) []capture.Note {
	s := k.keys.Stats()
	var out []capture.Note
	if s.Secrets > 0 {
		n := capture.Note{Kind: "keys", Count: s.Secrets, Text: fmt.Sprintf("%s were read; they opened %s",
			count(s.Secrets, "TLS secret"), count(opened, "connection"))}
		if opened == 0 {
			n.Hint = "key logs belong to one run of one program: take the one that was written while these connections were made"
		}
		out = append(out, n)
	}
	for _, f := range k.files {
		if !f.log.Some() {
			out = append(out, capture.Note{
				Kind: "keylog-useless",
				Text: fmt.Sprintf("the key log %s holds not one secret", f.name),
				Hint: "name the file that SSLKEYLOGFILE named when the browser started; all its windows have to be closed before",
			})
		}
	}
	if failed > 0 {
		out = append(out, capture.Note{
			Kind: "keys-failed", Count: failed,
			Text: fmt.Sprintf("for %s there are secrets that do not open it", count(failed, "connection")),
		})
	}
	if s.Bad > 0 {
		out = append(out, capture.Note{
			Kind: "keylog-lines", Count: s.Bad,
			Text: fmt.Sprintf("%s in key logs cannot be read", count(s.Bad, "line")),
			Hint: "a line is LABEL CLIENT_RANDOM SECRET in hexadecimal, as SSLKEYLOGFILE makes programs write it",
		})
	}
	if s.Dropped > 0 {
		n := capture.Note{
			Kind: "keys-dropped", Count: s.Dropped,
			Text: fmt.Sprintf("%s went beyond what is kept at one time", count(s.Dropped, "TLS secret")),
		}
		if !k.lasting {
			n.Hint = "cut the key log down to the time of the capture"
		}
		out = append(out, n)
	}
	return out
}
