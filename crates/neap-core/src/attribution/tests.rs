//! Does each row of the table say what it should, and does nothing else come before it?
