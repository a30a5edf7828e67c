//! What happens when the disk refuses.
