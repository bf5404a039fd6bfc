# Why RAUC did not install the last update, from its lines in the journal: what refuse-older said, or its last two lines.
/: started$/ { why = "" }
/^# refused: / { why = substr($0, 12) }
{ before = last; last = $0 }
END { print why != "" ? why : before " " last }
