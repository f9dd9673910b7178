// Package file reads packet captures: pcap and pcapng, plain or compressed.
//
// [Reader] hands out packets, [Source] the chunks of the connections in them.
// Both read a stream from front to back in constant memory.
package file
