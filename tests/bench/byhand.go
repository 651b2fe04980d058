package main

import "encoding/binary"

// This file is KMIP as one would write it by hand for two messages and no others: the floor of package ttlv.

// The types of items.
const (
	structure   = 1
	integer     = 2
	enumeration = 5
	text        = 7
	byteString  = 8
)

// open begins a structure, whose length close fills in.
func open(b []byte, tag uint64) ([]byte, int) {
	b = binary.BigEndian.AppendUint64(b, tag<<40|structure<<32)
	return b, len(b)
}

func closed(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
	return b
}

func appendWord(b []byte, tag, typ, v uint64) []byte {
	b = binary.BigEndian.AppendUint64(b, tag<<40|typ<<32|4)
	return binary.BigEndian.AppendUint64(b, v<<32)
}

func appendText(b []byte, tag uint64, s string) []byte {
	b = binary.BigEndian.AppendUint64(b, tag<<40|text<<32|uint64(len(s)))
	b = append(b, s...)
	return append(b, "\x00\x00\x00\x00\x00\x00\x00"[:-len(s)&7]...)
}

// appendCreate writes the Create request.
func appendCreate(b []byte) []byte {
	b, message := open(b, 0x420078)
	b, header := open(b, 0x420077)
	b, version := open(b, 0x420069)
	b = appendWord(b, 0x42006A, integer, 1)
	b = appendWord(b, 0x42006B, integer, 4)
	b = closed(b, version)
	b = appendWord(b, 0x42000D, integer, 1)
	b = closed(b, header)
	b, item := open(b, 0x42000F)
	b = appendWord(b, 0x42005C, enumeration, 1)
	b, payload := open(b, 0x420079)
	b = appendWord(b, 0x420057, enumeration, 2)
	b, template := open(b, 0x420091)
	b = appendNumber(b, "Cryptographic Algorithm", enumeration, 3)
	b = appendNumber(b, "Cryptographic Length", integer, 256)
	b = appendNumber(b, "Cryptographic Usage Mask", integer, 12)
	b = appendName(b)
	b = appendInformation(b, 0, "openstack-project-id", project)
	b = appendInformation(b, 1, "openstack-user-id", user)
	b, attribute := open(b, 0x420008)
	b = appendText(b, 0x42000A, "Object Group")
	b = appendText(b, 0x42000B, group)
	b = closed(b, attribute)
	b = closed(b, template)
	b = closed(b, payload)
	b = closed(b, item)
	return closed(b, message)
}

func appendNumber(b []byte, name string, typ, v uint64) []byte {
	b, attribute := open(b, 0x420008)
	b = appendText(b, 0x42000A, name)
	b = appendWord(b, 0x42000B, typ, v)
	return closed(b, attribute)
}

func appendName(b []byte) []byte {
	b, attribute := open(b, 0x420008)
	b = appendText(b, 0x42000A, "Name")
	b, value := open(b, 0x42000B)
	b = appendText(b, 0x420055, name)
	b = appendWord(b, 0x420054, enumeration, 1)
	b = closed(b, value)
	return closed(b, attribute)
}

func appendInformation(b []byte, index uint64, namespace, data string) []byte {
	b, attribute := open(b, 0x420008)
	b = appendText(b, 0x42000A, "Application Specific Information")
	if index > 0 {
		b = appendWord(b, 0x420009, integer, index)
	}
	b, value := open(b, 0x42000B)
	b = appendText(b, 0x420003, namespace)
	b = appendText(b, 0x420002, data)
	b = closed(b, value)
	return closed(b, attribute)
}

// walk goes through all items, checks that they lie within each other, and returns the bytes of the Key Material, nil where
// there is none or the message is broken.
func walk(b []byte) []byte {
	var key []byte
	for len(b) >= 8 {
		head := binary.BigEndian.Uint64(b)
		length := int(uint32(head))
		padded := (length + 7) &^ 7
		if padded > len(b)-8 {
			return nil
		}
		value := b[8 : 8+length]
		switch {
		case head>>32&0xFF == structure:
			if inner := walk(value); inner != nil {
				key = inner
			}
		case head>>32 == 0x420043<<8|byteString:
			key = value
		}
		b = b[8+padded:]
	}
	if len(b) > 0 {
		return nil
	}
	return key
}
