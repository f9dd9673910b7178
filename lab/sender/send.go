package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// packet is one frame and when it is due, since the first.
type packet struct {
	due   time.Duration
	frame []byte
}

// load reads a capture as package traffic writes it: pcap, microseconds,
// little-endian, Ethernet.
func load(path string) ([]packet, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	order := binary.LittleEndian
	if len(b) < 24 || order.Uint32(b) != 0xa1b2c3d4 || order.Uint32(b[20:]) != 1 {
		return nil, fmt.Errorf("%s is no capture of Ethernet in microseconds", path)
	}
	var out []packet
	var first time.Duration
	for b = b[24:]; len(b) >= 16; {
		at := time.Duration(order.Uint32(b))*time.Second + time.Duration(order.Uint32(b[4:]))*time.Microsecond
		n := int(order.Uint32(b[8:]))
		if n > len(b)-16 {
			return nil, fmt.Errorf("%s is cut short", path)
		}
		if len(out) == 0 {
			first = at
		}
		out = append(out, packet{at - first, b[16 : 16+n]})
		b = b[16+n:]
	}
	if len(out) == 0 {
		return nil, errors.New("there is no packet in " + path)
	}
	return out, nil
}

// batch is how many frames the kernel takes at once.
const batch = 64

// wire takes frames; write does not keep them.
type wire interface{ write(frames [][]byte) error }

// send sends each packet when it is due.
func send(w wire, packets []packet, speed float64, syns int) (*sent, error) {
	frames := make([][]byte, 0, batch)
	room := make([][synLen]byte, batch)
	done := &sent{times: make([]int64, 0, len(packets))}
	start := time.Now()
	flush := func() error {
		now := time.Now().UnixNano()
		for int64(len(done.times)) < done.Packets {
			done.times = append(done.times, now)
		}
		err := w.write(frames)
		frames = frames[:0]
		return err
	}
	put := func(frame []byte) error {
		frames = append(frames, frame)
		done.Bytes += int64(len(frame))
		if len(frames) == batch {
			return flush()
		}
		return nil
	}
	for i := range packets {
		p := &packets[i]
		if speed > 0 {
			due := time.Duration(float64(p.due) / speed)
			if ahead := due - time.Since(start); ahead > 0 {
				if err := flush(); err != nil {
					return nil, err
				}
				time.Sleep(ahead)
			}
		}
		done.Packets++
		if err := put(p.frame); err != nil {
			return nil, err
		}
		for done.Syns < int64(syns)*int64(i+1)/int64(len(packets)) {
			f := &room[len(frames)]
			syn(f, uint32(done.Syns))
			if err := put(f[:]); err != nil {
				return nil, err
			}
			done.Syns++
		}
	}
	err := flush()
	done.Seconds = time.Since(start).Seconds()
	return done, err
}

// synLen is the length of a frame with a SYN without options, in bytes.
const synLen = 14 + 20 + 20

// syn writes a frame that begins the nth connection: none of the first 2^29 has
// the ends of another.
func syn(b *[synLen]byte, n uint32) {
	const hosts = 1 << 14
	order := binary.BigEndian
	copy(b[:], "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00"+ // to, from, IPv4
		"\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x00\x00"+ // 40 bytes, TCP
		"\xc6\x13\x80\x00\xc6\x12\xfe\x01"+ // 198.19.128.0 to 198.18.254.1
		"\x00\x00\x01\xbb\x00\x00\x00\x00\x00\x00\x00\x00\x50\x02\xfa\xf0\x00\x00\x00\x00") // to 443, SYN
	order.PutUint32(b[26:], order.Uint32(b[26:])+n%hosts)
	order.PutUint16(b[34:], uint16(1024+n/hosts))
	order.PutUint32(b[38:], n*2654435761)
	order.PutUint16(b[24:], 0)
	order.PutUint16(b[24:], ^sum(0, b[14:34]))
	pseudo := uint32(6 + 20) // protocol and length
	order.PutUint16(b[50:], ^sum(uint32(sum(pseudo, b[26:34])), b[34:54]))
}

// sum continues the Internet checksum (RFC 1071) over an even number of bytes.
func sum(s uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
