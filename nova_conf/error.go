package novaconf

import "strconv"

// Error is a configuration that cannot be read or honoured. It never holds the text of a secret.
type Error struct {
	File     string // the file at fault, or every file read where something is missing
	Line     int    // counted from 1; 0 when no single line is at fault
	Variable string // the environment variable at fault, in place of File and Line
	Group    string // with Option, what could not be honoured; empty when the file could not be read
	Option   string
	Reason   string
}

// Error reads "nova.conf:12: [kmip] port: ..." or "environment OS_KMIP__PORT: ...".
func (e *Error) Error() string {
	if e.Variable != "" {
		return "environment " + e.Variable + ": " + e.Reason
	}
	text := e.File
	if e.Line > 0 {
		text += ":" + strconv.Itoa(e.Line)
	}
	if text != "" {
		text += ": "
	}
	if e.Option != "" {
		text += "[" + e.Group + "] " + e.Option + ": "
	}
	return text + e.Reason
}
