// Package formula keeps the cells of a CSV file from being taken for formulas by whoever opens
// it in a spreadsheet (OWASP, CSV injection), in a way that can be undone.
package formula

import (
	"strconv"
	"strings"
)

// leading are the characters with which a spreadsheet lets a formula begin, or which it passes
// over before one; full-width ones too.
const leading = "=+-@\t\r\n＝＋－＠"

func begins(s string) bool {
	for _, r := range s {
		return strings.ContainsRune(leading, r)
	}
	return false
}

// A program takes ; for the end of a cell where a comma is part of numbers: what follows one may
// be a cell.
const separator = ";"

// Escape puts an apostrophe before a cell that would be taken for a formula, and before one
// that looks as if that had been done to it; and so with each part of a cell that semicolons
// divide. Numbers with a sign, such as those of phones in the form of E.164, are left alone.
func Escape(cell string) string { return parts(cell, escape) }

// Unescape undoes Escape: for every cell, Unescape(Escape(cell)) == cell. A cell that was not
// escaped and looks like it loses its apostrophe.
func Unescape(cell string) string { return parts(cell, unescape) }

func parts(cell string, change func(string) string) string {
	if !strings.Contains(cell, separator) {
		return change(cell)
	}
	all := strings.Split(cell, separator)
	for i, part := range all {
		all[i] = change(part)
	}
	return strings.Join(all, separator)
}

func escape(cell string) string {
	switch {
	case cell == "":
		return cell
	case cell[0] == '\'':
		if cell == unescape(cell) {
			return cell
		}
	case !begins(cell) || number(cell):
		return cell
	}
	return "'" + cell
}

// number reports whether a spreadsheet sees a number: what else ParseFloat takes, such as
// -Inf, is a name to it.
func number(cell string) bool {
	_, err := strconv.ParseFloat(cell, 64)
	return err == nil && strings.Trim(cell, "+-.0123456789eE") == ""
}

func unescape(cell string) string {
	if rest := strings.TrimLeft(cell, "'"); len(rest) < len(cell) && begins(rest) {
		return cell[1:]
	}
	return cell
}
