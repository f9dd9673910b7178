package file

import (
	"encoding/binary"
	"io"
)

// Secrets in pcapng files: Decryption Secrets Blocks
// (draft-ietf-opsawg-pcapng §4.7).

// secretsTLS is the type of secrets that is a key log in the NSS format.
const secretsTLS = 0x544c534b // "TLSK"

// UseSecrets has the TLS key logs in a pcapng file written to log, as they are
// met. Those of a plain file on a disk are all written at once, wherever in the
// file they stand: writers put them behind the packets they open as well. It is
// to be called before the first Next. An error is one of log.
func (r *Reader) UseSecrets(log io.Writer) error {
	f, ok := r.format.(*pcapng)
	if !ok {
		return nil
	}
	f.secretsTo = log
	if r.file == nil || r.size == 0 || r.packed != "" {
		return nil
	}
	scan := secretsScan{src: r.file, size: r.size, log: log}
	if err := scan.run(); err != nil {
		return err
	}
	f.scanned = true
	return nil
}

// secrets reads a Decryption Secrets Block, however long, in pieces.
func (f *pcapng) secrets(total uint32) error {
	inside := f.inside(blockSecrets)
	head := int(min(total-blockTail, blockHead+8))
	if !f.in.more(head) {
		return f.r.end(inside)
	}
	var typ, length uint32
	if head == blockHead+8 {
		typ, length = f.u32(f.in.data[blockHead:]), f.u32(f.in.data[blockHead+4:])
	}
	f.in.data = f.in.data[head:]
	left := int64(total) - int64(head) - blockTail
	if typ != secretsTLS {
		f.r.stats.OtherSecrets++
		return f.leave(blockSecrets, total, left)
	}
	f.r.stats.Secrets++
	if f.secretsTo == nil || f.scanned {
		return f.leave(blockSecrets, total, left)
	}
	length = uint32(min(int64(length), left))
	left -= int64(length)
	for length > 0 {
		if len(f.in.data) == 0 && !f.in.more(1) {
			return f.r.end(inside)
		}
		n := min(len(f.in.data), int(length))
		if _, err := f.secretsTo.Write(f.in.data[:n]); err != nil {
			return err
		}
		f.in.data = f.in.data[n:]
		length -= uint32(n)
	}
	if _, err := f.secretsTo.Write([]byte{'\n'}); err != nil {
		return err
	}
	return f.leave(blockSecrets, total, left)
}

// secretsScan goes through a file from block to block, past the packets, and
// writes the key logs in it. It stops where the file does not go on as it
// should: the reader of packets will come there and say so.
type secretsScan struct {
	src  io.ReaderAt
	size int64
	log  io.Writer

	at     int64 // of the block
	order  binary.ByteOrder
	window []byte // of the file, from from on
	from   int64
}

// scanWindow is how much is read at once: many small blocks, or the head of a
// large one.
const scanWindow = 64 << 10

func (s *secretsScan) run() error {
	s.order = binary.LittleEndian
	buf := make([]byte, scanWindow)
	for {
		head := s.read(buf, s.at, blockHead+8)
		if head == nil {
			return nil
		}
		if binary.LittleEndian.Uint32(head) == blockSection {
			s.order = binary.LittleEndian
			if binary.BigEndian.Uint32(head[8:]) == orderMagic {
				s.order = binary.BigEndian
			}
		}
		total := s.order.Uint32(head[4:])
		if total < blockHead+blockTail || total%4 != 0 || s.at+int64(total) > s.size {
			return nil
		}
		if s.order.Uint32(head) == blockSecrets && s.order.Uint32(head[8:]) == secretsTLS {
			length := min(int64(s.order.Uint32(head[12:])), int64(total)-blockHead-8-blockTail)
			if err := s.copy(s.at+blockHead+8, length); err != nil {
				return err
			}
		}
		s.at += int64(total)
	}
}

// read returns n bytes at an offset, out of the window or through it, nil if
// there are fewer.
func (s *secretsScan) read(buf []byte, at int64, n int) []byte {
	if i := at - s.from; i >= 0 && i+int64(n) <= int64(len(s.window)) {
		return s.window[i : i+int64(n)]
	}
	m, _ := s.src.ReadAt(buf, at)
	s.window, s.from = buf[:m], at
	if m < n {
		return nil
	}
	return s.window[:n]
}

// copy writes a part of the file to the log.
func (s *secretsScan) copy(at, n int64) error {
	if n > 0 {
		if _, err := io.Copy(s.log, io.NewSectionReader(s.src, at, n)); err != nil {
			return err
		}
	}
	_, err := s.log.Write([]byte{'\n'})
	return err
}
