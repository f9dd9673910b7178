package file

import (
	"encoding/binary"
	"io"
	"math/bits"
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

	at  int64 // of the block
	big bool  // byte order of the section
}

// scanWindow is how much is read at once: many small blocks, or the head of a
// large one.
const scanWindow = 128 << 10

func (s *secretsScan) run() error {
	buf := make([]byte, scanWindow)
	for {
		n, _ := s.src.ReadAt(buf, s.at)
		from := s.at
		if err := s.walk(buf[:n]); err != nil {
			return err
		}
		if s.at == from {
			return nil
		}
	}
}

// walk goes through the blocks that begin in a window of the file, at at.
func (s *secretsScan) walk(window []byte) error {
	const head = blockHead + 8
	for len(window) >= head {
		kind, total := binary.LittleEndian.Uint32(window), binary.LittleEndian.Uint32(window[4:])
		if kind == blockSection {
			s.big = binary.BigEndian.Uint32(window[8:]) == orderMagic
		}
		if s.big {
			kind, total = bits.ReverseBytes32(kind), bits.ReverseBytes32(total)
		}
		if total < blockHead+blockTail || total%4 != 0 || s.at+int64(total) > s.size {
			return nil
		}
		if kind == blockSecrets {
			if err := s.secrets(window, total); err != nil {
				return err
			}
		}
		s.at += int64(total)
		if int64(total) > int64(len(window)) {
			return nil
		}
		window = window[total:]
	}
	return nil
}

// secrets copies the key log of a block, if it is one.
func (s *secretsScan) secrets(head []byte, total uint32) error {
	typ, length := binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
	if s.big {
		typ, length = bits.ReverseBytes32(typ), bits.ReverseBytes32(length)
	}
	if typ != secretsTLS {
		return nil
	}
	return s.copy(s.at+blockHead+8, min(int64(length), int64(total)-blockHead-8-blockTail))
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
